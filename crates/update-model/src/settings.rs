//! What a machine is told about its updates: `/etc/keelson/update.toml`, and what was chosen by command.
//!
//! Unknown keys are errors. Does not read files.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::halt::Halt;
use crate::manifest::is_name;
use crate::reboot::Strategy;
use crate::version::Version;

pub mod reboot_lock;
pub mod store;

use self::reboot_lock::RebootLock;
use self::store::Store;

/// Longest notice, in seconds.
const NOTICE_MAX: u32 = 3600;
/// Longest time for draining, in seconds.
const DRAIN_TIMEOUT_MAX: u32 = 24 * 3600;

/// The file's keys; each has a default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Where the release directory is: URLs of mirrors, the preferred one first, or one folder.
    pub sources: Vec<String>,
    /// Whose releases are taken, unless another was chosen by command.
    pub channel: String,
    /// The root metadata that the chain of trust begins with, an absolute path.
    pub root_of_trust: String,
    /// When the machine reboots into what was installed by itself.
    pub reboot: Strategy,
    /// What it takes before, so that only so many machines reboot at once.
    pub reboot_lock: RebootLock,
    /// How long users who are logged in are warned before it, in seconds.
    pub reboot_notice: u32,
    /// How long moving the machine's work away may take before it, in seconds.
    pub drain_timeout: u32,
    /// What becomes of it if that fails.
    pub drain_failure: DrainFailure,
    /// Most bytes fetched in a second; 0 is no limit.
    pub bandwidth_limit: u64,
    /// A proxy's URL; without one `http_proxy`, `https_proxy` and `no_proxy` of the environment hold.
    pub proxy: Option<String>,
    /// The cluster's key-value store; without it this machine is on its own.
    pub store: Option<Store>,
    /// When a release that was bad on other machines is not taken.
    pub halt: Halt,
}

/// What becomes of a reboot if the machine's work cannot be moved away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrainFailure {
    /// It is put off to the next check, and the lock given back.
    #[default]
    PutOff,
    /// It happens all the same.
    Reboot,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            channel: "stable".to_owned(),
            root_of_trust: "/etc/keelson/update-root.json".to_owned(),
            reboot: Strategy::Manual,
            reboot_lock: RebootLock::None,
            reboot_notice: 300,
            drain_timeout: 300,
            drain_failure: DrainFailure::PutOff,
            bandwidth_limit: 0,
            proxy: None,
            store: None,
            halt: Halt::default(),
        }
    }
}

/// A value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key}: {problem}")]
pub struct InvalidSetting {
    /// Which key.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl Settings {
    /// Whether the values can be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let invalid = |key, problem| Err(InvalidSetting { key, problem });
        if !is_name(&self.channel) {
            return invalid("channel", format!("{:?} is no name", self.channel));
        }
        if !self.root_of_trust.starts_with('/') {
            let problem = format!("{:?} is no absolute path", self.root_of_trust);
            return invalid("root-of-trust", problem);
        }
        if let Err(problem) = check_sources(&self.sources) {
            return invalid("sources", problem);
        }
        if self.halt.bad_percent > 100 {
            let problem = format!("{} is more than 100", self.halt.bad_percent);
            return invalid("halt.bad-percent", problem);
        }
        for (key, seconds, most) in [
            ("reboot-notice", self.reboot_notice, NOTICE_MAX),
            ("drain-timeout", self.drain_timeout, DRAIN_TIMEOUT_MAX),
        ] {
            if seconds > most {
                return invalid(key, format!("{seconds} seconds are more than {most}"));
            }
        }
        self.store.as_ref().map_or(Ok(()), Store::check)?;
        self.reboot_lock.check(self.store.as_ref())
    }
}

/// Several mirrors are URLs; a folder stands alone.
pub fn check_sources(sources: &[String]) -> Result<(), String> {
    let is_url = |source: &String| source.starts_with("http://") || source.starts_with("https://");
    if let Some(other) = sources
        .iter()
        .find(|source| !is_url(source) && !source.starts_with('/'))
    {
        return Err(format!(
            "{other:?} is neither a URL of http or https nor an absolute path"
        ));
    }
    if sources.len() > 1 && !sources.iter().all(is_url) {
        return Err("a folder cannot have mirrors".to_owned());
    }
    Ok(())
}

/// What was chosen by command and holds until another choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Choices {
    /// The channel, instead of the one in the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The version that the machine stays at or goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Version>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(sources: &[&str]) -> Settings {
        Settings {
            sources: sources.iter().map(|text| (*text).to_owned()).collect(),
            ..Settings::default()
        }
    }

    #[test]
    fn defaults_are_possible() {
        assert_eq!(Settings::default().check(), Ok(()));
        assert_eq!(sources(&["https://a/x", "http://b"]).check(), Ok(()));
        assert_eq!(sources(&["/mnt/releases"]).check(), Ok(()));
    }

    #[test]
    fn each_wrong_value_is_named() {
        let wrong = |settings: Settings| settings.check().unwrap_err().key;
        let with_channel = Settings {
            channel: "No Name".to_owned(),
            ..Settings::default()
        };
        assert_eq!(wrong(with_channel), "channel");
        let with_root = Settings {
            root_of_trust: "root.json".to_owned(),
            ..Settings::default()
        };
        assert_eq!(wrong(with_root), "root-of-trust");
        let with_halt = Settings {
            halt: Halt {
                bad_percent: 101,
                ..Halt::default()
            },
            ..Settings::default()
        };
        assert_eq!(wrong(with_halt), "halt.bad-percent");
        let with_notice = Settings {
            reboot_notice: 4000,
            ..Settings::default()
        };
        assert_eq!(wrong(with_notice), "reboot-notice");
        let with_timeout = Settings {
            drain_timeout: 100_000,
            ..Settings::default()
        };
        assert_eq!(wrong(with_timeout), "drain-timeout");
        let with_lock = Settings {
            reboot_lock: RebootLock::Store(reboot_lock::StoreLock {
                group: "default".to_owned(),
            }),
            ..Settings::default()
        };
        assert_eq!(wrong(with_lock), "reboot-lock.store");
        assert_eq!(wrong(sources(&["ftp://a"])), "sources");
        assert_eq!(wrong(sources(&["http://a", "/mnt"])), "sources");
    }
}

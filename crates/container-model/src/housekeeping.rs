//! When images leave a machine by themselves: `/etc/keelson/housekeeping.toml`.
//!
//! ```toml
//! keep-used-within = "7d"    # images that ran, or came, in this time stay
//! high-percent = 80          # of the file system that images are on: from there on others go, longest unused first,
//! low-percent = 70           # until no more than this is used
//! ```
//!
//! Images that a container has, or that a unit, a Quadlet file or a record names, never go. Nothing is removed here, and
//! no clock is read.

use core::time::Duration;

use serde::Deserialize;
use systemd_unit::time_span::{self, TimeSpan};
use thiserror::Error;

/// Where the settings are.
pub const FILE: &str = "/etc/keelson/housekeeping.toml";

/// All settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What was used in this time stays.
    pub keep_used_within: Duration,
    /// From where on something is to be done, of 100.
    pub high_percent: u8,
    /// When it is enough.
    pub low_percent: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_used_within: Duration::from_hours(7 * 24),
            high_percent: 80,
            low_percent: 70,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    keep_used_within: Option<String>,
    high_percent: Option<u8>,
    low_percent: Option<u8>,
}

/// Settings that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// TOML's own message, with line and column.
    #[error("{0}")]
    Syntax(String),
    /// A time that is none.
    #[error("keep-used-within: `{0}` is no time: write it as 12h or 7d")]
    Time(String),
    /// Numbers that do not fit.
    #[error("low-percent ({low}) must be less than high-percent ({high}), which is 99 at most")]
    Percent {
        /// As it stands.
        low: u8,
        /// As it stands.
        high: u8,
    },
}

impl Settings {
    /// Reads a file's text.
    ///
    /// # Errors
    /// If anything in it is not understood.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let file: File =
            toml::from_str(text).map_err(|error| SettingsError::Syntax(error.to_string()))?;
        let default = Self::default();
        let keep_used_within = match file.keep_used_within {
            None => default.keep_used_within,
            Some(text) => match time_span::parse(&text) {
                Some(TimeSpan::Finite(time)) => time,
                _ => return Err(SettingsError::Time(text)),
            },
        };
        let high = file.high_percent.unwrap_or(default.high_percent);
        let low = file
            .low_percent
            .unwrap_or(default.low_percent.min(high.saturating_sub(1)));
        if low >= high || high > 99 {
            return Err(SettingsError::Percent { low, high });
        }
        Ok(Self {
            keep_used_within,
            high_percent: high,
            low_percent: low,
        })
    }
}

/// How full a file system is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// All of it.
    pub size: u64,
    /// What is left for programs without privileges.
    pub available: u64,
}

impl Disk {
    /// Whether more than a part of it is used.
    pub fn is_over(self, percent: u8) -> bool {
        let used = self.size.saturating_sub(self.available);
        u128::from(used) * 100 > u128::from(self.size) * u128::from(percent)
    }

    /// In percent, rounded up.
    pub fn used_percent(self) -> u8 {
        let used = u128::from(self.size.saturating_sub(self.available));
        let size = u128::from(self.size).max(1);
        u8::try_from((used * 100).div_ceil(size)).unwrap_or(100)
    }
}

/// An image, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// In full.
    pub name: String,
    /// How long ago it was last used, or came.
    pub unused_for: Duration,
    /// Why it stays whatever happens.
    pub needed: Option<String>,
}

/// Names of the images that may go, the longest unused first.
pub fn order(candidates: &[Candidate], keep_used_within: Duration) -> Vec<&Candidate> {
    let may_go = |one: &&Candidate| one.needed.is_none() && one.unused_for >= keep_used_within;
    let mut found: Vec<&Candidate> = candidates.iter().filter(may_go).collect();
    found.sort_by(|a, b| b.unused_for.cmp(&a.unused_for).then(a.name.cmp(&b.name)));
    found
}

/// Words of a text that may be names of images: units, Quadlet files, records and commands, all alike. There are more than
/// there are names, which keeps an image too much at worst.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_between = |c: char| c.is_whitespace() || "\"'=\\,[]{}()".contains(c);
    text.split(is_between).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        assert_eq!(Settings::parse(""), Ok(Settings::default()));
        let settings = Settings::parse("keep-used-within = \"12h\"\nhigh-percent = 60").unwrap();
        assert_eq!(settings.keep_used_within, Duration::from_hours(12));
        assert_eq!((settings.high_percent, settings.low_percent), (60, 59));
        let settings = Settings::parse("keep-used-within = \"0\"\nlow-percent = 0").unwrap();
        assert_eq!(
            (settings.keep_used_within, settings.low_percent),
            (Duration::ZERO, 0)
        );
        for (text, expected) in [
            ("colour = 1", "line 1"),
            ("keep-used-within = \"soon\"", "`soon` is no time"),
            ("keep-used-within = \"infinity\"", "is no time"),
            ("high-percent = 100", "99 at most"),
            ("low-percent = 80", "less than high-percent (80)"),
            ("high-percent = 0", "less than"),
        ] {
            let error = Settings::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn disks_are_full_by_parts() {
        let disk = |size, available| Disk { size, available };
        assert!(!disk(100, 20).is_over(80));
        assert!(disk(100, 19).is_over(80));
        assert!(!disk(0, 0).is_over(80));
        assert!(disk(u64::MAX, 0).is_over(99));
        assert_eq!(disk(1000, 199).used_percent(), 81);
        assert_eq!(disk(0, 0).used_percent(), 0);
    }

    #[test]
    fn the_longest_unused_goes_first_and_what_is_needed_never() {
        let image = |name: &str, days: u64, needed: bool| Candidate {
            name: name.to_owned(),
            unused_for: Duration::from_hours(24 * days),
            needed: needed.then(|| "a container has it".to_owned()),
        };
        let all = [
            image("new", 6, false),
            image("b", 7, false),
            image("a", 7, false),
            image("old", 90, false),
            image("needed", 99, true),
        ];
        let names = |within: u64| -> Vec<&str> {
            let found = order(&all, Duration::from_hours(24 * within));
            found.iter().map(|one| one.name.as_str()).collect()
        };
        assert_eq!(names(7), ["old", "a", "b"]);
        assert_eq!(names(0), ["old", "a", "b", "new"]);
        assert_eq!(names(91), [""; 0]);
    }

    #[test]
    fn images_stand_in_many_forms() {
        let has = |text: &str, word: &str| words(text).any(|one| one == word);
        assert!(has(
            "ExecStart=/usr/bin/launch run -e A=b busybox:1.37 sh",
            "busybox:1.37"
        ));
        assert!(has("Image=docker.io/library/a\n", "docker.io/library/a"));
        assert!(has(
            r#"{"launch":["--name=x","a/b@sha256:00","sh"]}"#,
            "a/b@sha256:00"
        ));
        assert!(has(
            r#"{"file":"[Service]\nExecStart=launch run c:1\n"}"#,
            "c:1"
        ));
    }
}

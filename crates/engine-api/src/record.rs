//! What is kept of a container from its creation to its removal.
//!
//! It says nothing of whether the container runs: systemd knows that.

use std::collections::BTreeMap;

use container_model::network::NetworkOption;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without Docker's slash.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: u64,
    /// The image, as it was named.
    pub image: String,
    /// The digest of its manifest, which is the image's id.
    pub image_id: String,
    /// Words of `launch run`; it reads these.
    pub launch: Vec<String>,
    /// What runs, with its arguments.
    pub command: Vec<String>,
    /// What systemd does at the container's end.
    pub restart: RestartPolicy,
    /// Whether the container goes when it ends.
    pub is_removed_at_end: bool,
    /// Whether it has a terminal.
    pub has_terminal: bool,
    /// Whether its standard input is open.
    pub has_input: bool,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout: u32,
    /// The number of the signal that ends it in order.
    pub stop_signal: u8,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `Config` of whoever inspects.
    pub config: Value,
    /// `HostConfig` of whoever inspects.
    pub host_config: Value,
    /// What is mounted, for whoever inspects.
    pub mounts: Vec<Value>,
}

/// What happens when a container ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// It starts again, and at every boot.
    Always,
    /// It starts again, and at a boot unless somebody stopped it.
    UnlessStopped,
    /// It starts again if it failed, so often at most; zero is without end.
    OnFailure(u32),
}

impl RestartPolicy {
    /// By the API's names.
    pub fn parse(name: &str, count: i64) -> Result<Self, &'static str> {
        let count = u32::try_from(count).map_err(|_| "the number of retries is below zero")?;
        match (name, count) {
            ("" | "no", 0) => Ok(Self::No),
            ("always", 0) => Ok(Self::Always),
            ("unless-stopped", 0) => Ok(Self::UnlessStopped),
            ("on-failure", count) => Ok(Self::OnFailure(count)),
            ("" | "no" | "always" | "unless-stopped", _) => {
                Err("a number of retries belongs to `on-failure` alone")
            }
            _ => Err("`no`, `always`, `unless-stopped` and `on-failure` are the restart policies"),
        }
    }

    /// The API's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure(_) => "on-failure",
        }
    }

    /// The API's number of retries.
    pub fn count(self) -> u32 {
        match self {
            Self::OnFailure(count) => count,
            _ => 0,
        }
    }

    /// Whether a container that runs is started at the next boot.
    pub fn starts_at_boot(self) -> bool {
        matches!(self, Self::Always | Self::UnlessStopped)
    }
}

impl Record {
    /// The first digits of the id, as lists show it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether somebody means this container: by its name, its id, or the id's first digits.
    pub fn is_meant(&self, text: &str) -> bool {
        self.name == text || self.id == text
    }

    /// Whether the id begins so.
    pub fn id_begins(&self, text: &str) -> bool {
        !text.is_empty() && self.id.starts_with(text)
    }
}

const NETWORK: &str = "--network=";
/// A record of an older launcherd has the one network's names apart.
const ALIAS: &str = "--network-alias=";

/// Networks, which stand among the words of `launch run`.
impl Record {
    /// Those that it is in, the first one first.
    pub fn networks(&self) -> Vec<NetworkOption> {
        let options = || self.launch.iter().take_while(|word| word.starts_with("--"));
        let of = |word: &String| word.strip_prefix(NETWORK)?.parse().ok();
        let mut all: Vec<NetworkOption> = options().filter_map(of).collect();
        let aliases = options().filter_map(|word| word.strip_prefix(ALIAS)?.parse().ok());
        if let Some(first) = all.first_mut() {
            first.endpoint.aliases.extend(aliases);
        }
        all
    }

    /// Puts it into these instead, from its next start on.
    pub fn set_networks(&mut self, networks: &[NetworkOption]) {
        let count = self.launch.iter().take_while(|word| word.starts_with("--"));
        let rest = self.launch.split_off(count.count());
        let is_kept = |word: &String| !word.starts_with(NETWORK) && !word.starts_with(ALIAS);
        self.launch.retain(is_kept);
        let words = networks.iter().map(|option| format!("{NETWORK}{option}"));
        self.launch.extend(words);
        self.launch.extend(rest);
    }
}

/// As whose a container's services are registered.
const SHOWN_NAME: &str = "--shown-name=";

impl Record {
    /// Has its next start know the name that it has now.
    pub fn set_shown_name(&mut self) {
        let count = self.launch.iter().take_while(|word| word.starts_with("--"));
        let rest = self.launch.split_off(count.count());
        self.launch.retain(|word| !word.starts_with(SHOWN_NAME));
        self.launch.push(format!("{SHOWN_NAME}{}", self.name));
        self.launch.extend(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_stand_among_the_words() {
        let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
        let launch = words("--network=a --env=A --network-alias=x busybox --network=b");
        let mut record: Record = serde_json::from_value(serde_json::json!({
            "id": "aa", "name": "web", "created": 1, "image": "busybox", "image_id": "sha256:x",
            "launch": launch, "command": [], "restart": "no", "is_removed_at_end": false,
            "has_terminal": false, "has_input": false, "stop_timeout": 10, "stop_signal": 15,
            "labels": {}, "config": null, "host_config": null, "mounts": [],
        }))
        .unwrap();
        let networks = record.networks();
        assert_eq!(networks.len(), 1);
        assert_eq!(networks[0].to_string(), "a:alias=x");
        let more = ["c:ip=10.0.0.9".parse().unwrap()];
        record.set_networks(&[&networks[..], &more].concat());
        let expected =
            words("--env=A --network=a:alias=x --network=c:ip=10.0.0.9 busybox --network=b");
        assert_eq!(record.launch, expected);
        assert_eq!(record.networks().len(), 2);
        record.set_shown_name();
        record.name = "shop".to_owned();
        record.set_shown_name();
        let named = record.launch.iter().filter(|word| word.contains("-name="));
        assert_eq!(named.collect::<Vec<_>>(), ["--shown-name=shop"]);
        assert_eq!(record.launch.last().unwrap(), "--network=b");
    }

    #[test]
    fn policies_are_dockers() {
        assert_eq!(RestartPolicy::parse("", 0), Ok(RestartPolicy::No));
        assert_eq!(
            RestartPolicy::parse("on-failure", 3),
            Ok(RestartPolicy::OnFailure(3))
        );
        assert!(RestartPolicy::parse("always", 3).is_err());
        assert!(RestartPolicy::parse("sometimes", 0).is_err());
        assert!(RestartPolicy::parse("on-failure", -1).is_err());
        assert!(RestartPolicy::Always.starts_at_boot());
        assert!(!RestartPolicy::OnFailure(0).starts_at_boot());
    }
}

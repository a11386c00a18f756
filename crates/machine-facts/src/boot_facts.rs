//! The facts of this boot as `/init` left them in `/run/keelson/boot.toml`.
//!
//! They are what `/init` claims; whether the root really is verified only the kernel knows. Unknown
//! keys are errors: writer and reader are of one version.
use std::collections::BTreeMap;
use std::time::Duration;

use disk_format::verity::RootHash;
use serde::{Deserialize, Deserializer, de};

use crate::error::Fact;
use crate::system_root::SystemRoot;

/// The file.
pub const PATH: &str = "/run/keelson/boot.toml";

/// Who started the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootPath {
    /// No boot loader that says where it came from (QEMU's `-kernel`, kexec).
    Direct,
    /// systemd-boot.
    Uefi,
}

/// The facts; device nodes are absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootFacts {
    /// `keelson.version=` of the kernel command line.
    pub version: Option<String>,
    /// The root hash that was asked for.
    #[serde(deserialize_with = "root_hash")]
    pub root_hash: RootHash,
    /// `a` or `b`; empty if the root partition is not named after a slot.
    pub slot: String,
    /// The whole disk.
    pub disk: String,
    /// The partition with the root.
    pub root: String,
    /// The EFI system partition.
    pub esp: Option<String>,
    /// The partition with the boot record.
    pub meta: Option<String>,
    /// The writable partition.
    pub state: Option<String>,
    /// Whether the root was opened through dm-verity.
    pub verity: bool,
    /// Who started the kernel.
    pub boot_path: BootPath,
    /// Whether the boot loader counted this boot.
    pub counted: bool,
    /// Whether the state file system was made in this boot.
    pub first_boot: bool,
    /// Boots of this version since it was last healthy, this one included; 0 if not counted.
    pub failed_boots: u32,
    /// How long each step of `/init` took.
    pub steps_milliseconds: BTreeMap<String, u64>,
}

impl BootFacts {
    /// Reads the file.
    pub fn read(root: &SystemRoot) -> Fact<Self> {
        root.read_toml(PATH)
    }

    /// How long `/init` took.
    pub fn init_duration(&self) -> Duration {
        Duration::from_millis(self.steps_milliseconds.values().sum())
    }

    /// The slot's name for people.
    pub fn slot_name(&self) -> &str {
        match self.slot.as_str() {
            "" => "without a name",
            slot => slot,
        }
    }

    /// The name of the slot that an update would be written to, if there are two.
    pub fn other_slot(&self) -> Option<&'static str> {
        match self.slot.as_str() {
            "a" => Some("b"),
            "b" => Some("a"),
            _ => None,
        }
    }
}

fn root_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RootHash, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `/init` writes it on a counted boot of a machine with everything.
    fn text() -> String {
        let hash = "ab".repeat(32);
        format!(
            "version = \"1.2~rc3\"\nroot_hash = \"{hash}\"\nslot = \"a\"\ndisk = \"/dev/vda\"\n\
             root = \"/dev/vda2\"\nesp = \"/dev/vda1\"\nmeta = \"/dev/vda6\"\n\
             state = \"/dev/vda7\"\nverity = true\nboot_path = \"uefi\"\ncounted = true\n\
             first_boot = true\nfailed_boots = 2\n\n\
             [steps_milliseconds]\n\"load modules\" = 120\n\"open the root\" = 480\n"
        )
    }

    fn facts() -> BootFacts {
        toml::from_str(&text()).unwrap()
    }

    #[test]
    fn every_fact_is_read() {
        let facts = facts();
        assert_eq!(facts.version.as_deref(), Some("1.2~rc3"));
        assert_eq!(facts.root_hash, RootHash([0xab; 32]));
        assert_eq!((facts.slot_name(), facts.other_slot()), ("a", Some("b")));
        assert_eq!(facts.meta.as_deref(), Some("/dev/vda6"));
        assert_eq!(facts.boot_path, BootPath::Uefi);
        assert!(facts.verity && facts.counted && facts.first_boot);
        assert_eq!(facts.failed_boots, 2);
        assert_eq!(facts.init_duration(), Duration::from_millis(600));
    }

    #[test]
    fn partitions_may_be_missing() {
        let text = text().replace("meta = \"/dev/vda6\"\n", "");
        assert_eq!(toml::from_str::<BootFacts>(&text).unwrap().meta, None);
    }

    #[test]
    fn other_keys_and_values_are_errors() {
        for (old, new, complaint) in [
            ("slot", "colour", "unknown field"),
            ("\"uefi\"", "\"coreboot\"", "unknown variant"),
            ("abab", "xyab", "is no root hash"),
            ("verity = true\n", "", "missing field"),
        ] {
            let error = toml::from_str::<BootFacts>(&text().replacen(old, new, 1)).unwrap_err();
            assert!(error.to_string().contains(complaint), "{error}");
        }
    }
}

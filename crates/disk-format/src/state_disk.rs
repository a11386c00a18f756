//! State on another disk than the one that is booted from: how that disk is named, what a configuration wishes, and what
//! the boot disk's own state partition says once it is so.
//!
//! The pointer stands in the first sector of that partition, which is no file system then: a version that does not know
//! of pointers refuses it as somebody's data, and makes no new state there.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Below `/run`: what the configuration wishes, from `provision` for `/init`; absent if it wishes nothing.
pub const WISH_FILE: &str = "keelson/state-disk.wish";
/// Below `/run`: the [`Site`] that state is on, from `/init`; absent if it is on the disk that is booted from, and not encrypted.
pub const PLACE_FILE: &str = "keelson/state-disk";
/// Below `/run`: why state is not where it shall be, and on no disk in this boot, from `/init`.
pub const PROBLEM_FILE: &str = "keelson/state-disk.problem";

/// Length of a pointer: the smallest sector, so that it is written whole or not at all.
pub const POINTER_BYTES: usize = 512;
const FIRST_LINE: &str = "Keelson: the state of this machine is on another disk";
/// The longest name; with everything else it fits into a sector.
const NAME_LIMIT_BYTES: usize = 128;
const WIPE: &str = "wipe ";
const RECOVERY_KEY: &str = "recovery-key ";
const TPM2: &str = "tpm2 ";
const BOOT_DISK: &str = "boot-disk";

/// What tells a disk, or a partition, from the others at every boot. The kernel's names (`/dev/vdb`) do not: they follow the
/// order in which disks are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskName {
    /// The disk with this serial number.
    Serial(String),
    /// The disk with this world-wide identifier.
    Wwid(String),
    /// The partition with this label, on any other disk.
    PartitionLabel(String),
}

/// A name that no disk can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDiskName {
    /// Nothing, or more than a line.
    #[error(
        "{0:?} is no name of a disk: one line of at most {NAME_LIMIT_BYTES} bytes, without blanks around it"
    )]
    Value(String),
    /// Not of the known kinds.
    #[error("{0:?} is none of serial, wwid and partition-label with a name")]
    Kind(String),
}

impl DiskName {
    /// The words for the three kinds, as configurations write them.
    pub const KINDS: [&'static str; 3] = ["serial", "wwid", "partition-label"];

    /// From one of [`DiskName::KINDS`] and a value.
    ///
    /// # Errors
    /// If it is no kind, or no value that can be told from others.
    pub fn new(kind: &str, value: &str) -> Result<Self, InvalidDiskName> {
        let is_line = value.trim() == value && !value.chars().any(char::is_control);
        if value.is_empty() || value.len() > NAME_LIMIT_BYTES || !is_line {
            return Err(InvalidDiskName::Value(value.to_owned()));
        }
        let value = value.to_owned();
        match kind {
            "serial" => Ok(Self::Serial(value)),
            "wwid" => Ok(Self::Wwid(value)),
            "partition-label" => Ok(Self::PartitionLabel(value)),
            _ => Err(InvalidDiskName::Kind(format!("{kind} {value}"))),
        }
    }
}

/// As in a pointer: the kind, a blank, the value.
impl fmt::Display for DiskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(value) => write!(f, "serial {value}"),
            Self::Wwid(value) => write!(f, "wwid {value}"),
            Self::PartitionLabel(value) => write!(f, "partition-label {value}"),
        }
    }
}

impl FromStr for DiskName {
    type Err = InvalidDiskName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, value) = text
            .split_once(' ')
            .ok_or_else(|| InvalidDiskName::Kind(text.to_owned()))?;
        Self::new(kind, value)
    }
}

/// Whether state is encrypted, and who has the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encryption {
    /// It is not.
    #[default]
    None,
    /// The machine's TPM 2.0.
    Tpm2,
}

/// Where state is, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Site {
    /// The disk; `None` is the one that is booted from.
    pub name: Option<DiskName>,
    /// Whether it is encrypted there.
    pub encryption: Encryption,
}

/// What a configuration wishes of the first boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDisk {
    /// Where state shall be.
    pub site: Site,
    /// Whether whatever is there goes; else nothing may be there.
    pub is_wiped: bool,
    /// Whether there is a second key, for people.
    pub has_recovery_key: bool,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.encryption == Encryption::Tpm2 {
            f.write_str(TPM2)?;
        }
        match &self.name {
            Some(name) => name.fmt(f),
            None => f.write_str(BOOT_DISK),
        }
    }
}

impl FromStr for Site {
    type Err = InvalidDiskName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (encryption, rest) = match text.strip_prefix(TPM2) {
            Some(rest) => (Encryption::Tpm2, rest),
            None => (Encryption::None, text),
        };
        let name = match rest {
            BOOT_DISK => None,
            name => Some(name.parse()?),
        };
        Ok(Self { name, encryption })
    }
}

/// One line, for `/init`.
impl fmt::Display for StateDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wipe = if self.is_wiped { WIPE } else { "" };
        let key = if self.has_recovery_key {
            RECOVERY_KEY
        } else {
            ""
        };
        write!(f, "{wipe}{key}{}", self.site)
    }
}

impl FromStr for StateDisk {
    type Err = InvalidDiskName;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let wiped = line.strip_prefix(WIPE);
        let rest = wiped.unwrap_or(line);
        let with_key = rest.strip_prefix(RECOVERY_KEY);
        Ok(Self {
            site: with_key.unwrap_or(rest).parse()?,
            is_wiped: wiped.is_some(),
            has_recovery_key: with_key.is_some(),
        })
    }
}

/// How far the other disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its partition may not be there yet, and what is on the disk is nobody's but ours.
    Planned,
    /// Its partition is there; state is nowhere else.
    There,
}

/// What the boot disk's own state partition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// As the configuration named it, for people.
    pub name: DiskName,
    /// The partition with the state file system, which finds it.
    pub partition: Uuid,
    /// How far it is.
    pub stage: Stage,
    /// Whether it is encrypted there.
    pub encryption: Encryption,
}

impl Pointer {
    /// The first sector of the partition.
    pub fn to_bytes(&self) -> [u8; POINTER_BYTES] {
        let stage = match self.stage {
            Stage::Planned => "planned",
            Stage::There => "there",
        };
        let encryption = match self.encryption {
            Encryption::None => "none",
            Encryption::Tpm2 => "tpm2",
        };
        let text = format!(
            "{FIRST_LINE}\nversion 1\ndisk {}\npartition {}\nstage {stage}\nencryption {encryption}\n",
            self.name, self.partition
        );
        let mut bytes = [0; POINTER_BYTES];
        for (byte, one) in bytes.iter_mut().zip(text.bytes()) {
            *byte = one;
        }
        bytes
    }

    /// From the first bytes of the partition; `None` if that is no pointer, or not a whole one.
    pub fn read(head: &[u8]) -> Option<Self> {
        let sector = head.get(..POINTER_BYTES)?;
        let end = sector.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&sector[..end]).ok()?;
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next() != Some(FIRST_LINE) || lines.next() != Some("version 1") {
            return None;
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let pointer = Self {
            name: value("disk")?.parse().ok()?,
            partition: value("partition")?.parse().ok()?,
            stage: match value("stage")? {
                "planned" => Stage::Planned,
                "there" => Stage::There,
                _ => return None,
            },
            encryption: match value("encryption")? {
                "none" => Encryption::None,
                "tpm2" => Encryption::Tpm2,
                _ => return None,
            },
        };
        lines.next().is_none().then_some(pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(name: &str, stage: Stage) -> Pointer {
        Pointer {
            name: name.parse().unwrap(),
            partition: Uuid::from_u128(7),
            stage,
            encryption: Encryption::Tpm2,
        }
    }

    #[test]
    fn a_pointer_is_read_as_it_was_written() {
        let longest = format!("partition-label {}", "x".repeat(NAME_LIMIT_BYTES));
        for name in ["serial DATA 1", "wwid eui.0025385b71b0a3f1", &longest] {
            for stage in [Stage::Planned, Stage::There] {
                let pointer = pointer(name, stage);
                let mut head = pointer.to_bytes().to_vec();
                head.resize(4096, 0xff);
                assert_eq!(Pointer::read(&head), Some(pointer));
            }
        }
    }

    #[test]
    fn what_is_not_whole_is_no_pointer() {
        let bytes = pointer("serial A", Stage::There).to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(Pointer::read(&bytes[..511]), None);
        assert_eq!(Pointer::read(&[0; POINTER_BYTES]), None);
        for (from, to) in [
            ("version 1", "version 2"),
            ("serial", "colour"),
            ("tpm2", "tpm2\nmore x"),
            ("tpm2", "rot13"),
            ("-0000-", "-00x0-"),
            ("Keelson", "keelson"),
        ] {
            let mut other = text.replacen(from, to, 1).into_bytes();
            other.resize(POINTER_BYTES, 0);
            assert_eq!(Pointer::read(&other), None, "{to}");
        }
    }

    #[test]
    fn wishes_are_lines() {
        for line in [
            "serial DATA1",
            "wipe serial wipe",
            "recovery-key tpm2 boot-disk",
            "wipe recovery-key tpm2 wwid naa.5000c500a1b2c3d4",
        ] {
            let wish: StateDisk = line.parse().unwrap();
            assert_eq!(wish.to_string(), line);
            assert_eq!(wish.is_wiped, line.starts_with("wipe "));
            assert_eq!(wish.has_recovery_key, line.contains("recovery-key"));
            assert_eq!(
                wish.site.encryption == Encryption::Tpm2,
                line.contains("tpm2")
            );
            assert_eq!(wish.site.name.is_none(), line.ends_with("boot-disk"));
        }
        assert!("tpm2".parse::<Site>().is_err());
    }

    #[test]
    fn names_must_tell_disks_apart() {
        for text in [
            "serial",
            "serial ",
            "serial  a",
            "serial a\nb",
            "vdb",
            "path /dev/vdb",
        ] {
            assert!(text.parse::<DiskName>().is_err(), "{text:?}");
        }
        assert!(DiskName::new("serial", &"x".repeat(NAME_LIMIT_BYTES + 1)).is_err());
    }
}

//! The file names of installed versions in `EFI/Linux`, which carry their boot counters.
//!
//! Format: "Automatic Boot Assessment" of systemd and the Boot Loader Specification, "Boot
//! Counting" (<https://uapi-group.org/specifications/specs/boot_loader_specification/>). Does not
//! rename files and does not order versions.

use std::fmt::{self, Display, Formatter};

use thiserror::Error;

const PREFIX: &str = "keelson_";
const SUFFIX: &str = ".efi";

/// A unified kernel image in `EFI/Linux`: `keelson_VERSION+LEFT-DONE.efi`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootEntry {
    /// The version, see [`is_valid_version`].
    pub version: String,
    /// Whether boots of it are counted, and how many are left.
    pub counter: Counter,
}

/// The boot counter in a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// The version is good: the boot loader counts nothing.
    Uncounted,
    /// The version has yet to prove itself.
    Counted {
        /// How often the boot loader will still try it; at 0 it is bad.
        tries_left: u32,
        /// How often the boot loader has tried it.
        tries_done: u32,
    },
}

/// A version that cannot stand in a file's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no version: it must be of letters, digits, '.', '~', '^' and '-'")]
pub struct InvalidVersion(pub String);

/// Is this not empty, and of `A-Z a-z 0-9 . ~ ^ -` only?
///
/// `+` and `_` separate the parts of the file's name, and may therefore not stand in a version.
pub fn is_valid_version(version: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b".~^-".contains(&byte);
    !version.is_empty() && version.bytes().all(valid)
}

impl BootEntry {
    /// An entry for this version.
    ///
    /// # Errors
    /// If [`is_valid_version`] says so.
    pub fn new(version: &str, counter: Counter) -> Result<Self, InvalidVersion> {
        if !is_valid_version(version) {
            return Err(InvalidVersion(version.to_owned()));
        }
        Ok(Self {
            version: version.to_owned(),
            counter,
        })
    }

    /// The entry that a file of this name is; `None` for every name that is not Keelson's.
    ///
    /// Counters may have leading zeros and a needless `-0`, which [`BootEntry::file_name`] leaves
    /// out: to rename a file, use the name it has.
    pub fn parse(file_name: &str) -> Option<Self> {
        let stem = file_name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (version, counter) = match stem.split_once('+') {
            Some((version, counter)) => (version, parse_counter(counter)?),
            None => (stem, Counter::Uncounted),
        };
        Self::new(version, counter).ok()
    }

    /// The name of the file.
    pub fn file_name(&self) -> String {
        format!("{PREFIX}{}{}{SUFFIX}", self.version, self.counter)
    }
}

/// As it stands in the file's name: empty, `+3`, or `+2-1`.
impl Display for Counter {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncounted => Ok(()),
            Self::Counted {
                tries_left,
                tries_done: 0,
            } => write!(formatter, "+{tries_left}"),
            Self::Counted {
                tries_left,
                tries_done,
            } => {
                write!(formatter, "+{tries_left}-{tries_done}")
            }
        }
    }
}

fn parse_counter(text: &str) -> Option<Counter> {
    let (left, done) = text.split_once('-').unwrap_or((text, "0"));
    Some(Counter::Counted {
        tries_left: parse_number(left)?,
        tries_done: parse_number(done)?,
    })
}

fn parse_number(digits: &str) -> Option<u32> {
    // `u32::from_str` takes a sign, the format does not.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(tries_left: u32, tries_done: u32) -> Counter {
        Counter::Counted {
            tries_left,
            tries_done,
        }
    }

    #[test]
    fn names_round_trip() {
        for (name, version, counter) in [
            ("keelson_1.2.efi", "1.2", Counter::Uncounted),
            ("keelson_1.2~rc1+3.efi", "1.2~rc1", counted(3, 0)),
            (
                "keelson_2025-11-22^a+2-1.efi",
                "2025-11-22^a",
                counted(2, 1),
            ),
            ("keelson_1.efi+0-3.efi", "1.efi", counted(0, 3)),
        ] {
            let entry = BootEntry::new(version, counter).unwrap();
            assert_eq!(BootEntry::parse(name), Some(entry.clone()));
            assert_eq!(entry.file_name(), name);
        }
    }

    #[test]
    fn padded_counters_are_understood() {
        let entry = BootEntry::parse("keelson_1+03-00.efi").unwrap();
        assert_eq!(entry.counter, counted(3, 0));
        assert_eq!(entry.file_name(), "keelson_1+3.efi");
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            "keelson_.efi",
            "keelson_+3.efi",
            "keelson_1+.efi",
            "keelson_1+3-.efi",
            "keelson_1+-3.efi",
            "keelson_1++3.efi",
            "keelson_1+3-+1.efi",
            "keelson_1+3+3.efi",
            "keelson_1+4294967296.efi",
            "keelson_1_2.efi",
            "keelson_1 2.efi",
            "keelson_1.efi.tmp",
            "debian_1.efi",
        ] {
            assert_eq!(BootEntry::parse(name), None, "{name}");
        }
    }

    #[test]
    fn versions_that_would_split_the_name_are_refused() {
        for version in ["", "1+2", "1_2", "a/b", "ü"] {
            let error = BootEntry::new(version, Counter::Uncounted).unwrap_err();
            assert_eq!(error, InvalidVersion(version.to_owned()));
        }
    }
}

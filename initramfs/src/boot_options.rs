//! The kernel command line as a typed value: the `keelson.*` keys that `/init` obeys.
//!
//! It does not interpret anything meant for the kernel or systemd, and it applies no option.
//!
//! | key                      | meaning                                              | if it cannot be obeyed |
//! |--------------------------|------------------------------------------------------|------------------------|
//! | `keelson.roothash=HEX`   | required: the dm-verity root hash of the root to boot | no boot               |
//! | `keelson.disk=/dev/X`    | look on this disk only                               | no boot                |
//! | `keelson.version=V`      | the version's name, as in `EFI/Linux/keelson_V.efi`  | ignored                |
//! | `keelson.reboot-delay=N` | seconds to wait before the reboot after a failure    | ignored                |
//! | `keelson.debug`          | informational messages go to the console too         | ignored                |
//!
//! What says from where to boot is never guessed: another root or another disk's state could be meant. All else only
//! changes how the boot goes, and a machine that comes up can be told better. What is ignored is told on the console.
use std::fs;

use disk_format::boot_entry;
use disk_format::verity::RootHash;

use crate::failure;
use crate::report::console;
use crate::report::error::{ActionFailed, Context};

/// Seconds a failure stays readable on the console before the machine reboots.
pub(crate) const DEFAULT_REBOOT_DELAY_SECONDS: u32 = 5;

/// Keys that other programs of the root read.
const FOR_OTHERS: [&str; 5] = [
    "keelson.soak",
    "keelson.config",
    "keelson.config.digest",
    "keelson.platform",
    "keelson.metadata",
];

/// What the command line says about this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootOptions {
    /// The only root that may be booted.
    pub(crate) root_hash: RootHash,
    /// The version that the kernel image belongs to; absent in a hand-made command line.
    pub(crate) version: Option<String>,
    /// The kernel's name of the disk (`vda`), if it was given.
    pub(crate) disk: Option<String>,
    /// The delay before the reboot after a failure.
    pub(crate) reboot_delay_seconds: u32,
    /// Whether informational messages go to the console too.
    pub(crate) debug: bool,
    /// What is wrong with words that the boot goes on without, in words.
    pub(crate) ignored: Vec<String>,
}

/// Why the command line cannot be obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootOptionsError {
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] ActionFailed),
    /// No root hash: there is nothing that may be booted.
    #[error("the kernel command line has no keelson.roothash=")]
    RootHashMissing,
    /// The value does not parse.
    #[error("{key}={value} on the kernel command line is not {expected}")]
    BadValue {
        /// The option.
        key: &'static str,
        /// What was written.
        value: String,
        /// What should have been written.
        expected: &'static str,
    },
    /// Two values: an appended one must not override the one in the signed kernel image.
    #[error("{key}= stands twice on the kernel command line with different values")]
    Conflict {
        /// The option.
        key: &'static str,
    },
}

impl BootOptions {
    /// Reads and parses `/proc/cmdline`.
    pub(crate) fn read() -> Result<Self, BootOptionsError> {
        let path = "/proc/cmdline";
        let text = fs::read_to_string(path).context(|| format!("read {path}"))?;
        Self::parse(&text)
    }

    /// Makes messages and failures behave as the command line asks.
    pub(crate) fn apply(&self) {
        failure::set_base_delay(self.reboot_delay_seconds);
        if self.debug {
            console::show_everything();
        }
        for problem in &self.ignored {
            console::notice(&format!("{problem}; it is ignored"));
        }
    }

    /// Parses the text of a kernel command line.
    pub(crate) fn parse(command_line: &str) -> Result<Self, BootOptionsError> {
        let mut values = Values::default();
        for word in words(command_line) {
            values.take(&word)?;
        }
        values.finish()
    }
}

/// The options as found, before the required ones are known to be there.
#[derive(Default)]
struct Values {
    root_hash: Option<String>,
    version: Option<String>,
    disk: Option<String>,
    reboot_delay: Option<String>,
    debug: bool,
    ignored: Vec<String>,
}

impl Values {
    fn take(&mut self, word: &str) -> Result<(), BootOptionsError> {
        let (key, value) = word
            .split_once('=')
            .map_or((word, None), |(k, v)| (k, Some(v)));
        match (key, value) {
            ("keelson.roothash", Some(v)) => set(&mut self.root_hash, "keelson.roothash", v),
            ("keelson.version", Some(v)) => {
                let set = set(&mut self.version, "keelson.version", v);
                self.take_or_ignore(set);
                Ok(())
            }
            ("keelson.disk", Some(v)) => set(&mut self.disk, "keelson.disk", v),
            ("keelson.reboot-delay", Some(v)) => {
                let set = set(&mut self.reboot_delay, "keelson.reboot-delay", v);
                self.take_or_ignore(set);
                Ok(())
            }
            ("keelson.debug", None) => {
                self.debug = true;
                Ok(())
            }
            // For the health check after boot, and for `provision`.
            (key, Some(_)) if FOR_OTHERS.contains(&key) => Ok(()),
            ("keelson.emergency", None | Some("0" | "1")) => Ok(()),
            _ => {
                if key.starts_with("keelson.") {
                    let text = format!("nothing knows {word} on the kernel command line");
                    self.ignored.push(text);
                }
                Ok(())
            }
        }
    }

    /// The boot goes on without it.
    fn take_or_ignore<T>(&mut self, value: Result<T, BootOptionsError>) -> Option<T> {
        value
            .map_err(|error| self.ignored.push(error.to_string()))
            .ok()
    }

    fn finish(mut self) -> Result<BootOptions, BootOptionsError> {
        let root_hash = self.root_hash.take();
        let root_hash = parse_root_hash(root_hash.ok_or(BootOptionsError::RootHashMissing)?)?;
        let disk = self.disk.take().map(parse_disk).transpose()?;
        let version = self.version.take().map(parse_version);
        let version = version.and_then(|version| self.take_or_ignore(version));
        let delay = self.reboot_delay.take().map(parse_delay);
        let delay = delay.and_then(|delay| self.take_or_ignore(delay));
        Ok(BootOptions {
            root_hash,
            version,
            disk,
            reboot_delay_seconds: delay.unwrap_or(DEFAULT_REBOOT_DELAY_SECONDS),
            debug: self.debug,
            ignored: self.ignored,
        })
    }
}

fn set(slot: &mut Option<String>, key: &'static str, value: &str) -> Result<(), BootOptionsError> {
    match slot {
        Some(old) if old != value => Err(BootOptionsError::Conflict { key }),
        _ => {
            *slot = Some(value.to_owned());
            Ok(())
        }
    }
}

fn bad(key: &'static str, value: String, expected: &'static str) -> BootOptionsError {
    BootOptionsError::BadValue {
        key,
        value,
        expected,
    }
}

fn parse_root_hash(value: String) -> Result<RootHash, BootOptionsError> {
    value.parse().map_err(|_| {
        bad(
            "keelson.roothash",
            value,
            "a SHA-256 of 64 hexadecimal digits",
        )
    })
}

/// The version becomes part of a file name on the ESP, so only its own alphabet is let in.
fn parse_version(value: String) -> Result<String, BootOptionsError> {
    if !boot_entry::is_valid_version(&value) {
        return Err(bad(
            "keelson.version",
            value,
            "a version of letters, digits and . ~ ^ -",
        ));
    }
    Ok(value)
}

fn parse_disk(value: String) -> Result<String, BootOptionsError> {
    match value.strip_prefix("/dev/") {
        Some(name) if !name.is_empty() && !name.contains('/') => Ok(name.to_owned()),
        _ => Err(bad("keelson.disk", value, "a whole disk such as /dev/vda")),
    }
}

fn parse_delay(value: String) -> Result<u32, BootOptionsError> {
    value
        .parse()
        .map_err(|_| bad("keelson.reboot-delay", value, "a number of seconds"))
}

/// Splits as the kernel does: at blanks outside double quotes, which are dropped.
fn words(command_line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in command_line.chars() {
        if character == '"' {
            quoted = !quoted;
        } else if character.is_ascii_whitespace() && !quoted {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(character);
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

    fn parse(rest: &str) -> Result<BootOptions, BootOptionsError> {
        BootOptions::parse(&format!("quiet keelson.roothash={HASH} {rest}\n"))
    }

    #[test]
    fn the_root_hash_alone_is_enough() {
        let options = parse("console=ttyS0").unwrap();
        assert_eq!(options.root_hash.to_string(), HASH);
        assert_eq!(options.reboot_delay_seconds, DEFAULT_REBOOT_DELAY_SECONDS);
        assert_eq!(
            (options.version, options.disk, options.debug),
            (None, None, false)
        );
        assert!(options.ignored.is_empty());
    }

    #[test]
    fn every_option_is_read() {
        let line = "keelson.version=1.2~rc1 keelson.disk=/dev/nvme0n1 keelson.reboot-delay=0 keelson.debug";
        let options = parse(line).unwrap();
        assert_eq!(options.version.as_deref(), Some("1.2~rc1"));
        assert_eq!(options.disk.as_deref(), Some("nvme0n1"));
        assert_eq!(options.reboot_delay_seconds, 0);
        assert!(options.debug);
    }

    #[test]
    fn a_missing_root_hash_is_an_error() {
        let error = BootOptions::parse("quiet roothash=00").unwrap_err();
        assert!(matches!(error, BootOptionsError::RootHashMissing));
    }

    #[test]
    fn what_says_from_where_to_boot_must_be_right() {
        for line in [
            "keelson.disk=vda",
            "keelson.disk=/dev/",
            "keelson.disk=/dev/../x",
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(
                error.starts_with(line) && error.contains("a whole disk"),
                "{error}"
            );
        }
        assert!(parse("keelson.disk=/dev/vda keelson.disk=/dev/vdb").is_err());
        assert!(BootOptions::parse("keelson.roothash=12").is_err());
    }

    #[test]
    fn other_bad_values_are_ignored_and_named_with_what_is_meant() {
        for (line, meant) in [
            ("keelson.version=a/b", "a version of"),
            ("keelson.version=1_2", "a version of"),
            ("keelson.version=1+2", "a version of"),
            ("keelson.version=", "a version of"),
            ("keelson.reboot-delay=soon", "a number of seconds"),
        ] {
            let options = parse(line).unwrap();
            let [problem] = &options.ignored[..] else {
                panic!("{line}: {:?}", options.ignored);
            };
            assert!(
                problem.starts_with(line) && problem.contains(meant),
                "{problem}"
            );
            assert_eq!(options.version, None);
            assert_eq!(options.reboot_delay_seconds, DEFAULT_REBOOT_DELAY_SECONDS);
        }
    }

    #[test]
    fn of_two_values_the_signed_images_counts_and_the_other_is_told() {
        let options = parse("keelson.version=1 keelson.version=2 keelson.reboot-delay=7");
        let options = options.unwrap();
        assert_eq!(options.version.as_deref(), Some("1"));
        assert_eq!(options.reboot_delay_seconds, 7);
        assert!(options.ignored[0].starts_with("keelson.version= stands twice"));
    }

    #[test]
    fn an_appended_root_hash_does_not_override_the_first() {
        let other = HASH.replace('0', "f");
        let error = parse(&format!("keelson.roothash={other}")).unwrap_err();
        assert!(matches!(
            error,
            BootOptionsError::Conflict {
                key: "keelson.roothash"
            }
        ));
        assert!(
            parse(&format!("keelson.roothash={HASH}")).is_ok(),
            "the same value twice is fine"
        );
    }

    #[test]
    fn unknown_keys_are_kept_for_the_warning() {
        let others = "keelson.platform=gce keelson.config=http://x/ keelson.emergency";
        let wrong = "keelson.debug=1 keelson.emergency=yes";
        let line = format!("keelson.colour=red keelsonish=1 {wrong} {others}");
        let options = parse(&line).unwrap();
        let words = [
            "keelson.colour=red",
            "keelson.debug=1",
            "keelson.emergency=yes",
        ];
        let told = words.map(|word| format!("nothing knows {word} on the kernel command line"));
        assert_eq!(options.ignored, told);
    }

    #[test]
    fn quotes_group_words() {
        assert_eq!(words(r#"a "b c"  d="e f" "#), ["a", "b c", "d=e f"]);
        let options = parse(r#"dyndbg="file x keelson.debug" keelson.version="1.0""#).unwrap();
        assert!(!options.debug, "inside quotes it is not a word of its own");
        assert_eq!(options.version.as_deref(), Some("1.0"));
    }
}

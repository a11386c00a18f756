//! What the launcher says to the monitor, as `--key=value` words.
//!
//! Nobody else calls it, so there is no help: a word that is not known is an error.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The container's.
    pub(crate) name: String,
    /// Where `config.json` is, and where the monitor keeps its files.
    pub(crate) bundle: PathBuf,
    /// The image's full name, for the journal.
    pub(crate) image: String,
    /// What the runtime does with control groups: `cgroupfs` or `disabled`.
    pub(crate) cgroup_manager: String,
    /// What the payload gets when systemd says SIGTERM.
    pub(crate) stop_signal: i32,
    /// How long it may take to end after that, before it is killed.
    pub(crate) stop_timeout: Duration,
    /// When the unit is ready.
    pub(crate) readiness: Readiness,
    /// Where output goes.
    pub(crate) output: Output,
    /// How many of systemd's sockets, from descriptor 3, the payload gets.
    pub(crate) sockets: u32,
    /// The program that removes what is left.
    pub(crate) launcher: PathBuf,
}

/// `--notify` of `launch run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// When the payload was started.
    Start,
    /// When the payload says so.
    Payload,
}

/// Where standard output and error lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// To the journal, line by line, with fields.
    Journal,
    /// Wherever the launcher's lead.
    Inherited,
}

impl Arguments {
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut values = Values::default();
        for word in words {
            values.take(&word)?;
        }
        Ok(Self {
            name: values.text("name")?,
            bundle: values.get("bundle")?.into(),
            image: values.text("image")?,
            cgroup_manager: values.text("cgroup-manager")?,
            stop_signal: values.number("stop-signal")?,
            stop_timeout: Duration::from_secs(values.number("stop-timeout")?),
            readiness: match values.text("readiness")?.as_str() {
                "start" => Readiness::Start,
                "payload" => Readiness::Payload,
                other => return Err(format!("`{other}` is no readiness")),
            },
            output: match values.text("output")?.as_str() {
                "journal" => Output::Journal,
                "inherited" => Output::Inherited,
                other => return Err(format!("`{other}` is no output")),
            },
            sockets: values.number("sockets")?,
            launcher: values.get("launcher")?.into(),
        })
    }
}

const KEYS: &[&str] = &[
    "name",
    "bundle",
    "image",
    "cgroup-manager",
    "stop-signal",
    "stop-timeout",
    "readiness",
    "output",
    "sockets",
    "launcher",
];

#[derive(Default)]
struct Values(Vec<(&'static str, OsString)>);

impl Values {
    fn take(&mut self, word: &OsStr) -> Result<(), String> {
        let bytes = word.as_bytes();
        let refuse = || format!("`{}` is no argument", word.display());
        let equals = bytes
            .iter()
            .position(|byte| *byte == b'=')
            .ok_or_else(refuse)?;
        let key = bytes[..equals].strip_prefix(b"--").ok_or_else(refuse)?;
        let key = KEYS
            .iter()
            .find(|known| known.as_bytes() == key)
            .ok_or_else(refuse)?;
        self.0
            .push((key, OsString::from_vec(bytes[equals + 1..].to_vec())));
        Ok(())
    }

    fn get(&self, key: &str) -> Result<OsString, String> {
        let found = self.0.iter().find(|(known, _)| *known == key);
        found
            .map(|(_, value)| value.clone())
            .ok_or_else(|| format!("--{key} is missing"))
    }

    fn text(&self, key: &str) -> Result<String, String> {
        self.get(key)?
            .into_string()
            .map_err(|_| format!("--{key} is not UTF-8"))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, String> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|_| format!("--{key}={text} is no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[&str] = &[
        "--name=web",
        "--bundle=/run/a",
        "--image=docker.io/library/a:latest",
        "--stop-signal=15",
        "--stop-timeout=10",
        "--cgroup-manager=cgroupfs",
        "--readiness=payload",
        "--output=journal",
        "--sockets=2",
        "--launcher=/usr/bin/launch",
    ];

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn every_word_is_needed_and_known() {
        let arguments = parse(GOOD).unwrap();
        assert_eq!((arguments.name.as_str(), arguments.sockets), ("web", 2));
        assert_eq!(arguments.readiness, Readiness::Payload);
        assert_eq!(arguments.stop_timeout, Duration::from_secs(10));
        for at in 0..GOOD.len() {
            let mut words = GOOD.to_vec();
            let removed = words.remove(at);
            assert!(
                parse(&words).unwrap_err().ends_with("is missing"),
                "{removed}"
            );
        }
        for bad in [
            "--what=1",
            "name=a",
            "--name",
            "--output=away",
            "--sockets=x",
        ] {
            let words: Vec<&str> = std::iter::once(bad).chain(GOOD.iter().copied()).collect();
            assert!(parse(&words).is_err(), "{bad}");
        }
    }
}

//! What the launcher says to the monitor, as `--key=value` words.
//!
//! Nobody else calls it, so there is no help: a word that is not known is an error.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::Duration;

use monitor_protocol::HealthCheck;

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
    /// The unit, without `.service`.
    pub(crate) unit: Option<String>,
    /// The payload's control group from the hierarchy's root, if it has one of its own.
    pub(crate) cgroup: Option<String>,
    /// Whether the payload has a terminal.
    pub(crate) has_terminal: bool,
    /// Whether the payload has a standard input.
    pub(crate) has_input: bool,
    /// The payload is held if this file exists.
    pub(crate) hold: Option<PathBuf>,
    /// Where the record of the end is written.
    pub(crate) record: Option<PathBuf>,
    /// How the payload's health is found out.
    pub(crate) health: Option<HealthCheck>,
    /// Whether the launcher wrote what is to be announced.
    pub(crate) is_registered: bool,
}

/// `--notify` of `launch run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// When the payload was started.
    Start,
    /// When the payload says so.
    Payload,
    /// When its first check of health succeeded.
    Healthy,
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
                "healthy" => Readiness::Healthy,
                other => return Err(format!("`{other}` is no readiness")),
            },
            output: match values.text("output")?.as_str() {
                "journal" => Output::Journal,
                "inherited" => Output::Inherited,
                other => return Err(format!("`{other}` is no output")),
            },
            sockets: values.number("sockets")?,
            launcher: values.get("launcher")?.into(),
            unit: values.some("unit")?,
            cgroup: values.some("cgroup")?,
            has_terminal: values.boolean("terminal")?,
            has_input: values.boolean("input")?,
            hold: values.some("hold")?.map(Into::into),
            record: values.some("record")?.map(Into::into),
            is_registered: values.boolean("registered")?,
            health: match values.some("health")? {
                None => None,
                Some(text) => {
                    serde_json::from_str(&text).map_err(|error| format!("--health: {error}"))?
                }
            },
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
    "unit",
    "cgroup",
    "terminal",
    "input",
    "hold",
    "record",
    "health",
    "registered",
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

    /// Nothing is no value.
    fn some(&self, key: &str) -> Result<Option<String>, String> {
        Ok(Some(self.text(key)?).filter(|text| !text.is_empty()))
    }

    fn boolean(&self, key: &str) -> Result<bool, String> {
        match self.text(key)?.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("--{key}={other} is not true or false")),
        }
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
        "--registered=false",
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
        "--unit=web",
        "--cgroup=",
        "--terminal=true",
        "--input=false",
        "--hold=",
        "--record=/var/a.json",
        "--health={\"command\":[\"a\"],\"interval_ms\":1,\"timeout_ms\":1,\"retries\":1,\"start_period_ms\":0,\"start_interval_ms\":1,\"on_failure\":\"kill\"}",
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
        assert_eq!((arguments.has_terminal, arguments.cgroup), (true, None));
        assert_eq!(arguments.health.unwrap().command, ["a"]);
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
            "--input=maybe",
            "--health={}",
        ] {
            let words: Vec<&str> = std::iter::once(bad).chain(GOOD.iter().copied()).collect();
            assert!(parse(&words).is_err(), "{bad}");
        }
    }
}

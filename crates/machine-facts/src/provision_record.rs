//! What became of this machine's first-boot configuration, in `/var/lib/keelson/provision/result.json`.
//!
//! `provision` writes it; `osctl` and others read it. It holds no contents of files and no secrets. A program of
//! another version may have written it, so unknown fields are left alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Fact, FactError};
use crate::system_root::SystemRoot;

/// The folder of it and of what it needs.
pub const FOLDER: &str = "/var/lib/keelson/provision";
/// The file.
pub const PATH: &str = "/var/lib/keelson/provision/result.json";
/// Is there once all that can be done at a first boot has been: later boots look for nothing else.
pub const DONE: &str = "/var/lib/keelson/provision/done";

/// A configuration that stood where it could be removed from, for the first boot after a reset, which leaves this file.
pub const GIVEN: &str = "/var/lib/keelson/provision/given.json";

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How it ended.
    pub outcome: Outcome,
    /// Where the configuration was found, in words; `None` if there was none.
    pub source: Option<String>,
    /// Its format, in words.
    pub format: Option<String>,
    /// Of its bytes, as `sha256-` and hexadecimal digits.
    pub digest: Option<String>,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Outcome {
    /// No source had a configuration.
    Nothing,
    /// All of it is done.
    Applied,
    /// It needs what is on the network; nothing of it is done yet.
    Deferred {
        /// The addresses.
        addresses: Vec<String>,
    },
    /// It is wrong, or does not suit this machine; nothing of it was done.
    Refused {
        /// All that is wrong, each with file, line, column and key where they are known.
        problems: Vec<String>,
    },
    /// A step failed; those before it are done.
    Failed {
        /// Which, and why.
        reason: String,
    },
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it changed.
    pub change: Change,
    /// To what: `file /etc/x (0644 root)`.
    pub what: String,
}

/// What a step changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there, and another.
    Changed,
    /// It was there.
    Removed,
    /// It was as it should be.
    Unchanged,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match self.change {
            Change::Created => "created",
            Change::Changed => "changed",
            Change::Removed => "removed",
            Change::Unchanged => "already there:",
        };
        write!(f, "{done} {}", self.what)
    }
}

impl Record {
    /// Reads the file; `None` if no configuration was ever looked for.
    pub fn read(root: &SystemRoot) -> Fact<Option<Self>> {
        let text = match root.read_text(PATH) {
            Err(error) if error.is_missing_file() => return Ok(None),
            text => text?,
        };
        let record = serde_json::from_str(&text);
        record
            .map(Some)
            .map_err(|error| FactError::malformed(PATH, error.to_string()))
    }
}

/// One line for people.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_deref().unwrap_or("a configuration");
        match &self.outcome {
            Outcome::Nothing => f.write_str("no configuration was found"),
            Outcome::Applied => {
                let is_change = |step: &&Step| step.change != Change::Unchanged;
                let changes = self.steps.iter().filter(is_change).count();
                let plural = if changes == 1 { "" } else { "s" };
                write!(f, "applied from {source}, {changes} change{plural}")
            }
            Outcome::Deferred { addresses } => {
                let first = addresses.first().map_or("the network", String::as_str);
                write!(f, "{source} waits for the network ({first})")
            }
            Outcome::Refused { problems } => {
                let first = problems.first().map_or("it is wrong", String::as_str);
                write!(f, "REFUSED {source}: {first}")?;
                match problems.len() {
                    0 | 1 => Ok(()),
                    count => write!(f, " and {} more", count - 1),
                }
            }
            Outcome::Failed { reason } => write!(f, "FAILED to apply {source}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome) -> Record {
        let step = |change| Step {
            change,
            what: "file /etc/x (0644 root)".to_owned(),
        };
        Record {
            outcome,
            source: Some("the ESP".to_owned()),
            format: Some("Ignition".to_owned()),
            digest: None,
            steps: vec![step(Change::Created), step(Change::Unchanged)],
        }
    }

    #[test]
    fn the_file_is_as_documented_and_tells_the_first_reason() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        assert_eq!(Record::read(&root).unwrap(), None);
        let problems = vec!["a".to_owned(), "b".to_owned()];
        for (outcome, state, line) in [
            (
                Outcome::Nothing,
                r#"{"state":"nothing"}"#,
                "no configuration was found",
            ),
            (
                Outcome::Applied,
                r#"{"state":"applied"}"#,
                "applied from the ESP, 1 change",
            ),
            (
                Outcome::Refused { problems },
                r#"{"state":"refused","problems":["a","b"]}"#,
                "REFUSED the ESP: a and 1 more",
            ),
        ] {
            let record = record(outcome);
            assert_eq!(serde_json::to_string(&record.outcome).unwrap(), state);
            assert_eq!(record.to_string(), line);
            let text = serde_json::to_string(&record).unwrap();
            root.replace(PATH, &text).unwrap();
            assert_eq!(Record::read(&root).unwrap(), Some(record));
        }
        root.replace(PATH, "{}").unwrap();
        assert!(Record::read(&root).unwrap_err().reason().contains(PATH));
    }

    #[test]
    fn steps_are_sentences() {
        let steps = record(Outcome::Applied).steps;
        assert_eq!(steps[0].to_string(), "created file /etc/x (0644 root)");
        assert_eq!(
            steps[1].to_string(),
            "already there: file /etc/x (0644 root)"
        );
    }
}

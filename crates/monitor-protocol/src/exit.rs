//! How a container ended, and the record of it that stays when its unit is gone.
//!
//! Fields that are not known are passed over in records: another version of the system may have written them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code, or 128 and the signal's number.
    pub code: u8,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Whether the kernel killed a process of the container because memory was short.
    pub out_of_memory: bool,
    /// When the monitor saw it.
    pub ended_at: Timestamp,
}

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The container's name.
    pub name: String,
    /// The image's full name.
    pub image: String,
    /// The unit, without `.service`; none if it ran in a terminal.
    pub unit: Option<String>,
    /// systemd's number for this run of the unit; another run has another.
    pub invocation: Option<String>,
    /// The boot of the machine that it ran in.
    pub boot: String,
    /// When the monitor began.
    pub created_at: Timestamp,
    /// When the payload was started; none if it never was.
    pub started_at: Option<Timestamp>,
    /// How it was last known to be.
    pub outcome: Outcome,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was started. If the container does not run any more its monitor was killed, or the machine lost power, and
    /// nobody knows how the payload ended; it ended at the latest when systemd stopped the unit.
    Running,
    /// It ended.
    Exited(Exit),
    /// It could not be started.
    Failed {
        /// Docker's 125, 126 or 127.
        code: u8,
        /// One line.
        reason: String,
        /// When that was known.
        ended_at: Timestamp,
    },
}

impl ExitRecord {
    /// As a file's content.
    pub fn encode(&self) -> Vec<u8> {
        let text = serde_json::to_vec(self);
        let mut text = text.expect("a record has no map");
        text.push(b'\n');
        text
    }

    /// Of a file's content.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl Exit {
    /// Of an exit code or a signal.
    pub fn new(ending: Result<u8, i32>, out_of_memory: bool, ended_at: Timestamp) -> Self {
        let (code, signal) = match ending {
            Ok(code) => (code, None),
            Err(signal) => (u8::try_from(128 + signal).unwrap_or(u8::MAX), Some(signal)),
        };
        Self {
            code,
            signal,
            out_of_memory,
            ended_at,
        }
    }
}

/// How many processes of a control group the kernel killed for memory, of the text of its `memory.events`.
pub fn out_of_memory_kills(events: &str) -> u64 {
    let count = events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_with_fields_of_later_versions() {
        let exit = Exit::new(Err(9), true, Timestamp(9));
        assert_eq!(exit.code, 137);
        let record = ExitRecord {
            name: "web".to_owned(),
            image: "docker.io/library/web:1".to_owned(),
            unit: Some("web".to_owned()),
            invocation: None,
            boot: "b".to_owned(),
            created_at: Timestamp(1),
            started_at: Some(Timestamp(2)),
            outcome: Outcome::Exited(exit),
        };
        assert_eq!(ExitRecord::decode(&record.encode()).unwrap(), record);
        let text = String::from_utf8(record.encode()).unwrap();
        let later = text.replacen('{', "{\"later\":1,", 1);
        assert_eq!(ExitRecord::decode(later.as_bytes()).unwrap(), record);
        assert!(ExitRecord::decode(b"{}").is_err());
    }

    #[test]
    fn kills_for_memory_are_counted() {
        let text = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(out_of_memory_kills(text), 2);
        assert_eq!(out_of_memory_kills("oom_kill_more 1\n"), 0);
        assert_eq!(out_of_memory_kills(""), 0);
    }
}

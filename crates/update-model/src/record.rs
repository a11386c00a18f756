//! What a machine remembers of its updates: where the current one is, what was good and bad, what happened.
//!
//! Does not read or write files. A document of another format, or one that is none, is an error: whoever
//! reads it begins anew rather than not at all.

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::method::Method;
use crate::progress::{Failed, Memory, Release, State};
use crate::retry;
use crate::version::Version;

/// The number of this format.
const FORMAT: u32 = 1;
/// Events that are kept.
const HISTORY_LENGTH: usize = 100;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: u32,
    /// Where the current update is.
    pub state: State,
    /// What outlives an update.
    pub memory: Memory,
    /// What the last look at the releases ended with.
    pub last_check: LastCheck,
    /// Whether attempts fail.
    pub attempts: Attempts,
    /// What happened, the oldest first.
    pub history: VecDeque<Event>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            format: FORMAT,
            state: State::Idle,
            memory: Memory::default(),
            last_check: LastCheck::Never,
            attempts: Attempts::Fine,
            history: VecDeque::new(),
        }
    }
}

/// The last look at the releases that came to a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastCheck {
    /// There was none.
    Never,
    /// When it was, and the decision as a sentence.
    Decided(Timestamp, String),
}

/// Whether attempts fail, and when the next one is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attempts {
    /// The last one did what it should, or there was none.
    Fine,
    /// So many failed in a row.
    Failing {
        /// How many.
        failures: u32,
        /// Why the last one did.
        reason: String,
        /// No attempt by itself before this.
        next: Timestamp,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
}

/// Kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happened {
    /// A release was written to the idle slot without being offered to the boot loader.
    Downloaded {
        /// Which.
        version: Version,
        /// How.
        method: Method,
        /// Bytes fetched.
        fetched_bytes: u64,
    },
    /// A release was installed.
    Installed {
        /// Which.
        version: Version,
        /// How.
        method: Method,
        /// Bytes fetched.
        fetched_bytes: u64,
    },
    /// A release runs and is healthy.
    Healthy {
        /// Which.
        version: Version,
    },
    /// A release did not prove itself, or was rolled back.
    Bad {
        /// Which.
        version: Version,
        /// Why.
        reason: String,
    },
    /// An attempt failed and left the machine as it was.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Text that is no record.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// Not JSON of this form.
    #[error("it is no record of updates")]
    Json(#[from] serde_json::Error),
    /// Of another format.
    #[error("its format is {0}, this program knows {FORMAT}")]
    Format(u32),
}

impl Record {
    /// Reads the document.
    pub fn parse(text: &str) -> Result<Self, InvalidRecord> {
        let record: Self = serde_json::from_str(text)?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(InvalidRecord::Format(other)),
        }
    }

    /// Its text, which ends in a line break.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: versions, the only keys of a map, are text.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Takes a new state in, and what it says of a version. A failed attempt postpones the next.
    pub fn enter(&mut self, state: State, now: Timestamp) {
        self.memory.remember(&state);
        match &state {
            State::Good(Release { version, .. }) if state != self.state => {
                let version = version.clone();
                self.note(Happened::Healthy { version }, now);
            }
            State::Bad(Failed {
                release: Some(release),
                reason,
            }) if state != self.state => {
                let (version, reason) = (release.version.clone(), reason.clone());
                self.note(Happened::Bad { version, reason }, now);
            }
            State::Failed(Failed { reason, .. }) => self.attempt_failed(reason.clone(), now),
            _ => {}
        }
        self.state = state;
    }

    /// An attempt came to its end.
    pub fn attempt_succeeded(&mut self) {
        self.attempts = Attempts::Fine;
    }

    /// An attempt failed, which postpones the next.
    pub fn attempt_failed(&mut self, reason: String, now: Timestamp) {
        let failures = match &self.attempts {
            Attempts::Fine => 1,
            Attempts::Failing { failures, .. } => failures.saturating_add(1),
        };
        let next = now
            .checked_add(retry::pause(failures))
            .unwrap_or(Timestamp::MAX);
        self.note(
            Happened::Failed {
                reason: reason.clone(),
            },
            now,
        );
        self.attempts = Attempts::Failing {
            failures,
            reason,
            next,
        };
    }

    /// Keeps an event; the oldest is forgotten when there are too many.
    pub fn note(&mut self, what: Happened, now: Timestamp) {
        if self.history.len() == HISTORY_LENGTH {
            self.history.pop_front();
        }
        self.history.push_back(Event { at: now, what });
    }
}

/// For people.
impl Display for Happened {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Downloaded {
                version,
                method,
                fetched_bytes,
            } => write!(
                formatter,
                "{version} downloaded ({method}, {fetched_bytes} bytes)"
            ),
            Self::Installed {
                version,
                method,
                fetched_bytes,
            } => write!(
                formatter,
                "{version} installed ({method}, {fetched_bytes} bytes)"
            ),
            Self::Healthy { version } => write!(formatter, "{version} runs and is healthy"),
            Self::Bad { version, reason } => write!(formatter, "{version} is bad: {reason}"),
            Self::Failed { reason } => write!(formatter, "failed: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use disk_format::verity::RootHash;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn release() -> Release {
        Release {
            version: "2".parse().unwrap(),
            root_hash: RootHash([2; 32]),
        }
    }

    fn failed(reason: &str) -> State {
        State::Failed(Failed {
            release: None,
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn a_record_round_trips() {
        let mut record = Record::default();
        record.enter(State::Staged(release()), at(1));
        record.enter(failed("no network"), at(2));
        record.note(
            Happened::Installed {
                version: "2".parse().unwrap(),
                method: Method::BlockDelta,
                fetched_bytes: 7,
            },
            at(3),
        );
        record.last_check = LastCheck::Decided(at(4), "all is well".to_owned());
        assert_eq!(Record::parse(&record.to_json()).unwrap(), record);
        let other = record.to_json().replace("\"format\": 1", "\"format\": 2");
        assert!(matches!(
            Record::parse(&other),
            Err(InvalidRecord::Format(2))
        ));
        assert!(Record::parse("").is_err());
    }

    #[test]
    fn failures_postpone_and_a_success_forgives() {
        let mut record = Record::default();
        for (count, pause) in [(1, 900), (2, 1800)] {
            record.enter(failed("no network"), at(100));
            let expected = Attempts::Failing {
                failures: count,
                reason: "no network".to_owned(),
                next: at(100 + pause),
            };
            assert_eq!(record.attempts, expected);
        }
        record.attempt_succeeded();
        assert_eq!(record.attempts, Attempts::Fine);
    }

    #[test]
    fn outcomes_are_noted_once() {
        let mut record = Record::default();
        record.enter(State::Good(release()), at(1));
        record.enter(State::Good(release()), at(2));
        assert_eq!(record.history.len(), 1);
        assert_eq!(record.memory.floor, Some("2".parse().unwrap()));
        record.enter(State::Idle.rolled_back(release()), at(3));
        assert_eq!(record.history.len(), 2);
        assert!(record.memory.bad.contains_key(&"2".parse().unwrap()));
    }

    #[test]
    fn history_is_bounded() {
        let mut record = Record::default();
        for second in 0..300 {
            record.enter(failed("again"), at(second));
        }
        assert_eq!(record.history.len(), HISTORY_LENGTH);
        assert_eq!(record.history.back().unwrap().at, at(299));
    }
}

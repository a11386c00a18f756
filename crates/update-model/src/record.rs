//! What a machine remembers of its updates: where the current one is, what was good and bad, what happened.
//!
//! Does not read or write files. A document of another format, or one that is none, is an error: whoever
//! reads it begins anew rather than not at all. Fields that this program does not know are passed over,
//! and missing newer ones have defaults: before and after a rollback, programs of two versions read it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Refusal, Stay};
use crate::method::Method;
use crate::outcome::{KEPT_PER_MACHINE, Outcome, Report};
use crate::preparation::Preparation;
use crate::progress::{Bad, Memory, Release, State, WrongTransition};
use crate::retry;
use crate::totals::Totals;
use crate::version::Version;

/// The number of this format.
const FORMAT: u32 = 1;
/// Events that are kept.
const HISTORY_LENGTH: usize = 100;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// Where the current update is.
    pub state: State,
    /// What outlives an update.
    pub memory: Memory,
    /// What the last look at the releases ended with.
    pub last_check: LastCheck,
    /// Whether the cluster held a release back at that look.
    #[serde(default)]
    pub hold: Hold,
    /// Outcomes that the cluster has yet to be told; bounded.
    #[serde(default)]
    pub unreported: BTreeMap<Version, Report>,
    /// What all updates came to.
    #[serde(default)]
    pub totals: Totals,
    /// Whether attempts fail.
    pub attempts: Attempts,
    /// What was done for a reboot, and is to be undone after it.
    #[serde(default, skip_serializing_if = "Preparation::is_empty")]
    pub preparation: Preparation,
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
            hold: Hold::None,
            unreported: BTreeMap::new(),
            totals: Totals::default(),
            attempts: Attempts::Fine,
            preparation: Preparation::default(),
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

/// Whether the cluster holds back what the machine would take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// It does not.
    #[default]
    None,
    /// The version's rollout is halted.
    Halted {
        /// Which.
        version: Version,
        /// Why.
        reason: String,
    },
    /// Whether it is cannot be seen.
    StoreUnreachable {
        /// Which version would be taken.
        version: Version,
        /// Why not.
        reason: String,
    },
}

impl Hold {
    /// Why this version is held back, as the rest of a sentence; `None` if it is not.
    pub fn of_version(&self, wanted: &Version) -> Option<String> {
        match self {
            Self::Halted { version, reason } if version == wanted => {
                Some(format!("is halted ({reason})"))
            }
            Self::StoreUnreachable { version, reason } if version == wanted => Some(format!(
                "waits until it is known how other machines fared with it ({reason})"
            )),
            _ => None,
        }
    }

    /// What a decision says of it.
    pub fn of(decision: &Decision) -> Self {
        match decision {
            Decision::Stay(Stay::Refused(version, Refusal::Halted(reason))) => Self::Halted {
                version: version.clone(),
                reason: reason.clone(),
            },
            Decision::Stay(Stay::Refused(version, Refusal::StoreUnreachable(reason))) => {
                Self::StoreUnreachable {
                    version: version.clone(),
                    reason: reason.clone(),
                }
            }
            _ => Self::None,
        }
    }
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
    /// A release was installed, and somebody wanted it not to be booted.
    Withdrawn {
        /// Which.
        version: Version,
    },
    /// A reboot into a release was allowed, and did not happen.
    RebootCalledOff {
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

    /// Takes a new state in, and what it says of a version.
    pub fn enter(&mut self, state: State, now: Timestamp) {
        self.memory.remember(&state);
        if let Some((version, outcome)) = Outcome::of(&state).filter(|_| state != self.state) {
            self.keep_for_cluster(version.clone(), Report::new(outcome, now));
        }
        match &state {
            State::Good(Release { version, .. }) if state != self.state => {
                let version = version.clone();
                self.note(Happened::Healthy { version }, now);
            }
            State::Bad(Bad {
                release,
                cause,
                reason,
            }) if state != self.state => {
                self.totals.rolled_back(*cause);
                let (version, reason) = (release.version.clone(), reason.clone());
                self.note(Happened::Bad { version, reason }, now);
            }
            _ => {}
        }
        self.state = state;
    }

    /// What is installed shall not be booted, here: that says nothing of it to others. It is left out from now
    /// on, as what was rolled back is.
    ///
    /// # Errors
    /// If nothing waits for its first boot.
    pub fn withdraw(&mut self, now: Timestamp) -> Result<(), WrongTransition> {
        let waiting = self.state.release().cloned();
        self.state = self.state.clone().withdrawn()?;
        if let Some(Release { version, .. }) = waiting {
            let reason = "it was withdrawn before its first boot".to_owned();
            self.memory.bad.insert(version.clone(), reason);
            self.note(Happened::Withdrawn { version }, now);
        }
        Ok(())
    }

    fn keep_for_cluster(&mut self, version: Version, report: Report) {
        self.unreported.insert(version, report);
        while self.unreported.len() > KEPT_PER_MACHINE {
            let oldest = self.unreported.iter().min_by_key(|(_, report)| report.at);
            let Some(oldest) = oldest.map(|(version, _)| version.clone()) else {
                return;
            };
            self.unreported.remove(&oldest);
        }
    }

    /// The cluster was told this.
    pub fn reported(&mut self, version: &Version, report: &Report) {
        if self.unreported.get(version) == Some(report) {
            self.unreported.remove(version);
        }
    }

    /// A look at the releases came to this.
    pub fn decided(&mut self, decision: &Decision, now: Timestamp) {
        self.last_check = LastCheck::Decided(now, decision.to_string());
        self.hold = Hold::of(decision);
    }

    /// An attempt came to its end.
    pub fn attempt_succeeded(&mut self, now: Timestamp) {
        self.attempts = Attempts::Fine;
        self.totals.last_success = Some(now);
    }

    /// What is under way failed, which postpones the next attempt.
    ///
    /// # Errors
    /// If nothing is under way that can fail.
    pub fn failed(&mut self, reason: &str, now: Timestamp) -> Result<(), WrongTransition> {
        let state = self.state.clone().failed(reason)?;
        self.enter(state, now);
        self.attempt_failed(reason.to_owned(), now);
        Ok(())
    }

    /// An attempt failed without a change of the state, which postpones the next.
    pub fn attempt_failed(&mut self, reason: String, now: Timestamp) {
        let failures = match &self.attempts {
            Attempts::Fine => 1,
            Attempts::Failing { failures, .. } => failures.saturating_add(1),
        };
        self.totals.failures = self.totals.failures.saturating_add(1);
        self.totals.last_failure = Some(now);
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

    /// Keeps an event, and counts it; the oldest is forgotten when there are too many.
    pub fn note(&mut self, what: Happened, now: Timestamp) {
        match &what {
            Happened::Downloaded {
                method,
                fetched_bytes,
                ..
            } => self.totals.fetched(*method, *fetched_bytes),
            Happened::Installed {
                method,
                fetched_bytes,
                ..
            } => {
                self.totals.fetched(*method, *fetched_bytes);
                self.totals.installed = self.totals.installed.saturating_add(1);
            }
            Happened::Healthy { .. }
            | Happened::Bad { .. }
            | Happened::Withdrawn { .. }
            | Happened::RebootCalledOff { .. }
            | Happened::Failed { .. } => {}
        }
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
            Self::Withdrawn { version } => {
                write!(formatter, "{version} was withdrawn before its first boot")
            }
            Self::RebootCalledOff { version, reason } => {
                write!(
                    formatter,
                    "the reboot into {version} was called off: {reason}"
                )
            }
            Self::Failed { reason } => write!(formatter, "failed: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use disk_format::verity::RootHash;

    use super::*;
    use crate::preparation::Drain;
    use crate::reboot::Lock;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn release() -> Release {
        Release {
            version: "2".parse().unwrap(),
            root_hash: RootHash([2; 32]),
        }
    }

    /// A check that began and failed.
    fn fail(record: &mut Record, reason: &str, now: Timestamp) {
        record.enter(record.state.clone().check().unwrap(), now);
        record.failed(reason, now).unwrap();
    }

    #[test]
    fn a_record_round_trips() {
        let mut record = Record::default();
        record.enter(State::Staged(release()), at(1));
        fail(&mut record, "no network", at(2));
        assert_eq!(record.state, State::Staged(release()), "it still waits");
        record.note(
            Happened::Installed {
                version: "2".parse().unwrap(),
                method: Method::BlockDelta,
                fetched_bytes: 7,
            },
            at(3),
        );
        record.last_check = LastCheck::Decided(at(4), "all is well".to_owned());
        assert!(!record.to_json().contains("preparation"));
        assert_eq!(Record::parse(&record.to_json()).unwrap(), record);
        record.preparation.lock = Lock::HeldByOthers(vec!["m2".to_owned()]);
        record.preparation.drain = Drain::Failed("busy".to_owned());
        assert_eq!(Record::parse(&record.to_json()).unwrap(), record);
        let other = record.to_json().replace("\"format\": 1", "\"format\": 2");
        assert!(matches!(
            Record::parse(&other),
            Err(InvalidRecord::Format(2))
        ));
        assert!(Record::parse("").is_err());
    }

    #[test]
    fn programs_of_other_versions_read_it() {
        let mut record = Record::default();
        record.enter(State::Good(release()), at(1));
        let newer = record.to_json().replacen('{', "{\"colour\": 1,", 1);
        assert_eq!(Record::parse(&newer).unwrap(), record);
        let older = "{\"format\":1,\"state\":\"idle\",\"memory\":{\"floor\":null,\"bad\":{}},\
                     \"last_check\":\"never\",\"attempts\":\"fine\",\"history\":[]}";
        assert_eq!(Record::parse(older).unwrap(), Record::default());
    }

    #[test]
    fn outcomes_are_kept_until_the_cluster_was_told() {
        let mut record = Record::default();
        record.enter(State::Good(release()), at(1));
        let (version, told) = record.unreported.pop_first().unwrap();
        assert_eq!(told, Report::new(Outcome::Healthy, at(1)));
        record.enter(State::Good(release()), at(2));
        assert!(record.unreported.is_empty(), "it is no news");
        record.enter(State::Idle.rolled_back(release()), at(3));
        record.reported(&version, &told);
        assert_eq!(record.unreported.len(), 1, "that was not told");
        for number in 3..9 {
            let release = Release {
                version: number.to_string().parse().unwrap(),
                ..release()
            };
            record.enter(State::Good(release), at(number));
        }
        let kept: Vec<String> = record.unreported.keys().map(ToString::to_string).collect();
        assert_eq!(kept, ["6", "7", "8"]);
        assert_eq!(Record::parse(&record.to_json()).unwrap(), record);
    }

    #[test]
    fn failures_postpone_and_a_success_forgives() {
        let mut record = Record::default();
        for (count, pause) in [(1, 900), (2, 1800)] {
            fail(&mut record, "no network", at(100));
            let expected = Attempts::Failing {
                failures: count,
                reason: "no network".to_owned(),
                next: at(100 + pause),
            };
            assert_eq!(record.attempts, expected);
        }
        record.attempt_succeeded(at(200));
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
    fn what_is_withdrawn_is_left_out_and_no_news_for_others() {
        let mut record = Record::default();
        record.withdraw(at(1)).unwrap_err();
        record.enter(State::Staged(release()), at(1));
        record.withdraw(at(2)).unwrap();
        assert_eq!(record.state, State::Idle);
        assert!(record.memory.bad.contains_key(&release().version));
        assert!(record.unreported.is_empty());
        assert_eq!(record.totals, Totals::default());
        let version = release().version;
        let last = record.history.back().map(|event| event.what.clone());
        assert_eq!(last, Some(Happened::Withdrawn { version }));
    }

    #[test]
    fn history_is_bounded() {
        let mut record = Record::default();
        for second in 0..300 {
            fail(&mut record, "again", at(second));
        }
        assert_eq!(record.history.len(), HISTORY_LENGTH);
        assert_eq!(record.history.back().unwrap().at, at(299));
    }
}

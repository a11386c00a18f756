//! How updates ended on the machines of a cluster, as it stands in their key-value store.
//!
//! A public format. Each version and machine has one key,
//! `/keelson/updates/outcomes/PRODUCT/VERSION/MACHINE-ID`, whose value is JSON:
//!
//! ```json
//! {"format":1,"at":"2026-11-28T12:00:00Z","outcome":"healthy"}
//! {"format":1,"at":"2026-11-28T12:00:00Z","outcome":"bad","cause":"unhealthy","reason":"it was unhealthy: …"}
//! ```
//!
//! `cause` is `no-boot`, `unhealthy` or `by-hand`; fields may be added. A key or value of another form is
//! passed over. Keys have no lease: a store gives every lease its whole time whenever another member
//! begins to lead, and that is what updates make members do. So machines remove what is out of date
//! ([`stale`]). Does not talk to a store, and does not judge a version.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::progress::{Bad, Cause, State};
use crate::version::Version;

/// Beginning of all keys.
const PREFIX: &str = "/keelson/updates/outcomes";
/// The number of this format.
const FORMAT: u32 = 1;
/// Outcomes that a machine leaves of itself in the store, and keeps until it can write them.
pub const KEPT_PER_MACHINE: usize = 3;
/// For so long the outcomes of machines that no longer report are kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(180 * 24);
/// Most bytes of a reason: it stands in every machine's sentence.
const REASON_BYTES_MAX: usize = 300;

/// How an update ended on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The version runs and is healthy.
    Healthy,
    /// The machine went back from it, or is about to.
    Bad {
        /// What ended it.
        cause: Cause,
        /// Why, as a sentence's end.
        reason: String,
    },
}

/// An outcome and its time: a value in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    format: u32,
    /// When it was known.
    pub at: Timestamp,
    /// What came of the update.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A key of the store with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of which version.
    pub version: Version,
    /// Of which machine, by its machine id.
    pub machine: String,
    /// What it says.
    pub report: Report,
}

/// What all keys of a product begin with.
pub fn prefix(product: &str) -> String {
    format!("{PREFIX}/{product}/")
}

/// The key of a machine's outcome.
pub fn key(product: &str, version: &Version, machine: &str) -> String {
    format!("{}{version}/{machine}", prefix(product))
}

impl Report {
    /// Of an outcome that became known now. A long reason loses its end.
    pub fn new(outcome: Outcome, at: Timestamp) -> Self {
        let outcome = match outcome {
            Outcome::Bad { cause, reason } => Outcome::Bad {
                cause,
                reason: shortened(reason),
            },
            healthy @ Outcome::Healthy => healthy,
        };
        Self {
            format: FORMAT,
            at,
            outcome,
        }
    }

    /// The value.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: it is of texts and numbers.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > REASON_BYTES_MAX {
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        text.push('…');
    }
    text
}

impl Outcome {
    /// What a state says of its release, if it ends an update.
    pub fn of(state: &State) -> Option<(&Version, Self)> {
        match state {
            State::Good(release) => Some((&release.version, Self::Healthy)),
            State::Bad(Bad {
                release,
                cause,
                reason,
            }) => {
                let (cause, reason) = (*cause, reason.clone());
                Some((&release.version, Self::Bad { cause, reason }))
            }
            _ => None,
        }
    }
}

impl Entry {
    /// Reads a key and its value; `None` if they are of another form.
    pub fn parse(product: &str, key: &[u8], value: &[u8]) -> Option<Self> {
        let key = str::from_utf8(key).ok()?;
        let (version, machine) = key.strip_prefix(&prefix(product))?.split_once('/')?;
        let report: Report = serde_json::from_slice(value).ok()?;
        let is_known = report.format == FORMAT && !machine.is_empty() && !machine.contains('/');
        is_known.then_some(Self {
            version: version.parse().ok()?,
            machine: machine.to_owned(),
            report,
        })
    }
}

/// Entries that need no longer be in the store: old ones, and all but this machine's newest few. `now`
/// must be known not to be far ahead.
pub fn stale<'a>(entries: &'a [Entry], machine: &str, now: Timestamp) -> Vec<&'a Entry> {
    let mut own: Vec<&Entry> = entries
        .iter()
        .filter(|one| one.machine == machine)
        .collect();
    own.sort_by_key(|one| one.report.at);
    let surplus = own.len().saturating_sub(KEPT_PER_MACHINE);
    let surplus: BTreeSet<&Version> = own[..surplus].iter().map(|one| &one.version).collect();
    let is_old = |entry: &Entry| entry.report.at.duration_until(now) > KEPT_FOR;
    let is_surplus = |entry: &Entry| entry.machine == machine && surplus.contains(&entry.version);
    entries
        .iter()
        .filter(|entry| is_old(entry) || is_surplus(entry))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(version: &str, machine: &str, second: i64) -> Entry {
        Entry {
            version: version.parse().unwrap(),
            machine: machine.to_owned(),
            report: Report::new(Outcome::Healthy, at(second)),
        }
    }

    #[test]
    fn the_format_is_as_documented() {
        let bad = Outcome::Bad {
            cause: Cause::ByHand,
            reason: "x".to_owned(),
        };
        let report = Report::new(bad, at(0));
        assert_eq!(
            report.to_json(),
            "{\"format\":1,\"at\":\"1970-01-01T00:00:00Z\",\"outcome\":\"bad\",\
             \"cause\":\"by-hand\",\"reason\":\"x\"}"
        );
        let version = "1.2~rc1".parse().unwrap();
        let key = key("vm", &version, "m1");
        assert_eq!(key, "/keelson/updates/outcomes/vm/1.2~rc1/m1");
        let read = Entry::parse("vm", key.as_bytes(), report.to_json().as_bytes()).unwrap();
        assert_eq!(
            (read.version, read.machine.as_str(), read.report),
            (version, "m1", report)
        );
        for cause in Cause::ALL {
            let text = serde_json::to_string(&cause).unwrap();
            assert_eq!(text, format!("\"{}\"", cause.name()));
        }
    }

    #[test]
    fn what_has_another_form_is_passed_over() {
        let value = Report::new(Outcome::Healthy, at(0)).to_json();
        let parse = |key: &str, value: &str| {
            let key = format!("/keelson/updates/outcomes/{key}");
            Entry::parse("vm", key.as_bytes(), value.as_bytes()).is_some()
        };
        assert!(parse("vm/1/m1", &value));
        let newer = value.replace('{', "{\"more\":true,");
        assert!(parse("vm/1/m1", &newer), "fields may be added: {newer}");
        for key in ["pi/1/m1", "vm/1", "vm/1/", "vm/1/m1/x", "vm/1_0/m1"] {
            assert!(!parse(key, &value), "{key}");
        }
        for value in ["", "{}", &value.replace("\"format\":1", "\"format\":2")] {
            assert!(!parse("vm/1/m1", value), "{value}");
        }
    }

    #[test]
    fn a_long_reason_loses_its_end() {
        let bad = |reason: String| Outcome::Bad {
            cause: Cause::Unhealthy,
            reason,
        };
        let report = Report::new(bad("ä".repeat(1000)), at(0));
        let Outcome::Bad { reason, .. } = report.outcome else {
            panic!("it was bad");
        };
        assert!(reason.len() <= REASON_BYTES_MAX + 3 && reason.ends_with("ä…"));
    }

    #[test]
    fn machines_remove_their_older_outcomes_and_what_nobody_renews() {
        let half_a_year = KEPT_FOR.as_secs();
        let entries = [
            entry("1", "m1", half_a_year),
            entry("4", "m1", half_a_year + 4),
            entry("3", "m1", half_a_year + 3),
            entry("2", "m1", half_a_year + 2),
            entry("1", "m2", half_a_year),
            entry("1", "gone", 5),
        ];
        let stale = |machine, now| -> Vec<String> {
            let stale = stale(&entries, machine, at(now));
            let named = stale
                .iter()
                .map(|one| format!("{} {}", one.version, one.machine));
            named.collect()
        };
        assert_eq!(stale("m1", half_a_year + 5), ["1 m1"]);
        assert_eq!(stale("m2", half_a_year + 6), ["1 gone"]);
        assert_eq!(stale("m3", half_a_year + 5), Vec::<String>::new());
    }
}

//! Whether a rollout is halted: a pure function of how updates ended on the machines of a cluster.
//!
//! Knows no store: what is in it is passed in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::outcome::{Entry, Outcome};
use crate::version::Version;

/// When a rollout halts: section `[halt]` of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Halt {
    /// A version is halted from this share of bad machines among those that reported it, in percent; 0
    /// never halts.
    pub bad_percent: u8,
    /// And from so many bad machines; in a cluster so small that fewer are `bad_percent` of all, from
    /// those.
    pub bad_machines: u32,
    /// What to do if the store does not answer.
    pub store_unreachable: StoreUnreachable,
}

/// What a machine does that cannot ask how others fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreUnreachable {
    /// It takes nothing. A bad version may be what broke the store.
    Wait,
    /// It takes what there is, as if all had fared well.
    Proceed,
}

impl Default for Halt {
    fn default() -> Self {
        Self {
            bad_percent: 10,
            bad_machines: 2,
            store_unreachable: StoreUnreachable::Wait,
        }
    }
}

/// How a version fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Machines where it is healthy.
    pub good: u32,
    /// Machines that went back from it.
    pub bad: u32,
}

impl Halt {
    /// Whether a version that fared so is halted, in a cluster of so many machines.
    pub fn stops(&self, counts: Counts, machines: u32) -> bool {
        let percent = u64::from(self.bad_percent.min(100));
        if percent == 0 || counts.bad == 0 {
            return false;
        }
        let (good, bad) = (u64::from(counts.good), u64::from(counts.bad));
        let share_of_all = (u64::from(machines) * percent).div_ceil(100);
        let enough = u64::from(self.bad_machines).min(share_of_all).max(1);
        bad >= enough && bad * 100 >= percent * (good + bad)
    }

    /// The versions that are halted, each with its reason as a sentence's end. `machine` is the one that
    /// asks: it counts as one of the cluster although it may not have reported yet.
    pub fn halted(&self, entries: &[Entry], machine: &str) -> BTreeMap<Version, String> {
        let all: BTreeSet<&str> = entries
            .iter()
            .map(|entry| entry.machine.as_str())
            .chain([machine])
            .collect();
        let machines = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let mut by_version = BTreeMap::<&Version, Vec<&Entry>>::new();
        for entry in entries {
            by_version.entry(&entry.version).or_default().push(entry);
        }
        let halted = by_version.into_iter().filter_map(|(version, entries)| {
            let counts = Counts::of(&entries);
            let is_halted = self.stops(counts, machines);
            is_halted.then(|| (version.clone(), reason(counts, &entries)))
        });
        halted.collect()
    }
}

impl Counts {
    fn of(entries: &[&Entry]) -> Self {
        let mut counts = Self::default();
        for entry in entries {
            match entry.report.outcome {
                Outcome::Healthy => counts.good = counts.good.saturating_add(1),
                Outcome::Bad { .. } => counts.bad = counts.bad.saturating_add(1),
            }
        }
        counts
    }
}

/// Names the last machine, since there is where to look first.
fn reason(counts: Counts, entries: &[&Entry]) -> String {
    let bad = entries
        .iter()
        .filter_map(|entry| match &entry.report.outcome {
            Outcome::Healthy => None,
            Outcome::Bad { reason, .. } => Some((entry.report.at, &entry.machine, reason)),
        });
    let reported = counts.good.saturating_add(counts.bad);
    let (machines, were) = match (reported, counts.bad) {
        (1, _) => ("machine", "was"),
        (_, 1) => ("machines", "was"),
        _ => ("machines", "were"),
    };
    let share = format!("{} of {reported} {machines} {were} bad with it", counts.bad);
    match bad.max() {
        None => share,
        Some((_, machine, reason)) => format!("{share}, last {machine}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::outcome::Report;
    use crate::progress::Cause;

    fn stops(good: u32, bad: u32, machines: u32) -> bool {
        Halt::default().stops(Counts { good, bad }, machines)
    }

    #[test]
    fn one_bad_machine_halts_a_small_cluster() {
        for machines in 1..=10 {
            assert!(stops(0, 1, machines), "of {machines}");
        }
        assert!(stops(2, 1, 3));
        assert!(!stops(0, 1, 11), "another may just have broken");
        assert!(stops(0, 2, 11));
    }

    #[test]
    fn a_few_bad_machines_do_not_halt_a_large_cluster() {
        assert!(!stops(0, 1, 1000));
        assert!(stops(0, 2, 1000));
        assert!(stops(18, 2, 1000));
        assert!(!stops(19, 2, 1000));
        assert!(!stops(1000, 0, 1000));
        assert!(stops(0, u32::MAX, u32::MAX));
    }

    #[test]
    fn limits_are_settings() {
        let counts = Counts { good: 1, bad: 9 };
        let never = Halt {
            bad_percent: 0,
            ..Halt::default()
        };
        assert!(!never.stops(counts, 10));
        let half = Halt {
            bad_percent: 50,
            bad_machines: 10,
            ..Halt::default()
        };
        assert!(!half.stops(counts, 1000));
        assert!(half.stops(Counts { good: 1, bad: 10 }, 1000));
        assert!(half.stops(counts, 18), "nine are half of eighteen");
    }

    fn entry(version: &str, machine: &str, reason: Option<&str>) -> Entry {
        let outcome = reason.map_or(Outcome::Healthy, |reason| Outcome::Bad {
            cause: Cause::Unhealthy,
            reason: reason.to_owned(),
        });
        Entry {
            version: version.parse().unwrap(),
            machine: machine.to_owned(),
            report: Report::new(outcome, Timestamp::UNIX_EPOCH),
        }
    }

    #[test]
    fn each_version_is_counted_by_itself() {
        let entries = [
            entry("1", "m1", None),
            entry("1", "m2", None),
            entry("2", "m1", Some("kvd.service has failed")),
            entry("3~rc1", "m2", None),
        ];
        let halted = Halt::default().halted(&entries, "m3");
        let texts: Vec<String> = halted
            .iter()
            .map(|(version, reason)| format!("{version}: {reason}"))
            .collect();
        assert_eq!(
            texts,
            ["2: 1 of 1 machine was bad with it, last m1: kvd.service has failed"]
        );
        assert!(Halt::default().halted(&[], "m3").is_empty());
    }
}

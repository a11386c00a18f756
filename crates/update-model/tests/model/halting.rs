//! What holds for every rollout in every cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use update_model::halt::{Counts, Halt};
use update_model::outcome::{Entry, KEPT_PER_MACHINE, Outcome, Report, key, stale};
use update_model::progress::Cause;

fn halt() -> impl Strategy<Value = Halt> {
    (0..=100_u8, 0..5_u32).prop_map(|(bad_percent, bad_machines)| Halt {
        bad_percent,
        bad_machines,
        ..Halt::default()
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    (1..6_u8, 0..8_u8, any::<bool>(), 0..20_000_i64).prop_map(|(version, machine, good, hours)| {
        let outcome = if good {
            Outcome::Healthy
        } else {
            Outcome::Bad {
                cause: Cause::NoBoot,
                reason: "it did not boot".to_owned(),
            }
        };
        let at = Timestamp::from_second(hours * 3600).expect("a time");
        Entry {
            version: version.to_string().parse().expect("a version"),
            machine: format!("m{machine}"),
            report: Report::new(outcome, at),
        }
    })
}

/// A store has one entry for each version and machine.
fn entries() -> impl Strategy<Value = Vec<Entry>> {
    proptest::collection::vec(entry(), 0..40).prop_map(|entries| {
        let place = |entry: Entry| ((entry.version.clone(), entry.machine.clone()), entry);
        let unique: BTreeMap<_, Entry> = entries.into_iter().map(place).collect();
        unique.into_values().collect()
    })
}

proptest! {
    #[test]
    fn bad_machines_never_start_and_good_ones_never_stop_a_rollout(
        halt in halt(), good in 0..200_u32, bad in 0..200_u32, others in 0..200_u32,
    ) {
        let machines = good + bad + others;
        let stops = |good, bad| halt.stops(Counts { good, bad }, machines);
        if stops(good, bad) {
            prop_assert!(bad > 0 && halt.bad_percent > 0);
            prop_assert!(stops(good, bad + 1));
        } else {
            prop_assert!(!stops(good + 1, bad));
        }
    }

    #[test]
    fn all_bad_halts_at_the_limit_however_large_the_cluster(halt in halt(), machines in 1..5000_u32) {
        let bad = halt.bad_machines.max(1);
        let stops = halt.stops(Counts { good: 0, bad }, machines);
        prop_assert_eq!(stops, halt.bad_percent > 0);
    }

    #[test]
    fn only_reported_versions_are_halted_and_the_order_is_no_matter(
        halt in halt(), mut entries in entries(),
    ) {
        let halted = halt.halted(&entries, "m0");
        for version in halted.keys() {
            let is_bad = |entry: &Entry| entry.report.outcome != Outcome::Healthy;
            let has_bad = entries.iter().any(|entry| entry.version == *version && is_bad(entry));
            prop_assert!(has_bad);
        }
        entries.reverse();
        prop_assert_eq!(halt.halted(&entries, "m0"), halted);
    }

    #[test]
    fn what_is_read_back_is_what_was_written(entry in entry()) {
        let key = key("vm", &entry.version, &entry.machine);
        let value = entry.report.to_json();
        prop_assert_eq!(Entry::parse("vm", key.as_bytes(), value.as_bytes()), Some(entry));
    }

    #[test]
    fn arbitrary_bytes_are_no_panic(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
        prop_assert_eq!(Entry::parse("vm", &key, &value), None);
    }

    #[test]
    fn nobody_removes_another_s_recent_outcome(entries in entries()) {
        let now = Timestamp::from_second(20_000 * 3600).expect("a time");
        for gone in stale(&entries, "m1", now) {
            let days = gone.report.at.duration_until(now).as_hours() / 24;
            prop_assert!(gone.machine == "m1" || days >= 180);
        }
        // The newest one of a machine's own is kept.
        let newest = entries.iter().filter(|one| one.machine == "m1").max_by_key(|one| one.report.at);
        if let Some(newest) = newest.filter(|one| one.report.at.duration_until(now).as_hours() < 180 * 24) {
            let stale = stale(&entries, "m1", now);
            let is_gone = stale.contains(&newest);
            // Of several as new, one is as good as the other.
            let older = entries.iter().filter(|one| one.machine == "m1" && one.report.at < newest.report.at);
            let newest_ones = entries.iter().filter(|one| one.machine == "m1").count() - older.count();
            prop_assert!(!is_gone || newest_ones > KEPT_PER_MACHINE);
        }
    }
}

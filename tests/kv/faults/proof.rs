//! Proof that the checkers find violations: histories made by hand, and a server that breaks the rules.

use anyhow::{Result, ensure};

use super::client::{Pace, Workload};
use super::cluster::Cluster;
use super::history::{Asked, Change, Changes, Operation, Outcome};
use super::round::{LIMIT, others};
use super::{history, order, registers, watching};
use crate::isolation::isolated;

/// An operation on register 1.
fn operation(times: (u64, u64), asked: Asked, outcome: Outcome) -> Operation {
    let (invoked, returned) = times;
    Operation {
        key: 1,
        asked,
        invoked,
        returned,
        outcome,
    }
}

fn put(times: (u64, u64), value: u64, revision: u64) -> Operation {
    operation(times, Asked::Put { value }, Outcome::Written { revision })
}

fn read(times: (u64, u64), index: u64, found: Option<(u64, u64)>) -> Operation {
    operation(times, Asked::Read, Outcome::Read { index, found })
}

/// Values with their revisions, one after the other.
fn changes(values: &[(u64, Option<u64>)]) -> Changes {
    let mut before = None;
    let change = |&(revision, value): &(u64, Option<u64>)| {
        let change = Change {
            key: 1,
            value,
            before,
        };
        before = value;
        (revision, change)
    };
    values.iter().map(change).collect()
}

/// Two writes, one after the other, then what is looked at.
fn verdicts(last: Operation, truth: &[(u64, Option<u64>)]) -> (bool, bool) {
    let operations = [put((0, 10), 7, 5), put((20, 30), 8, 6), last];
    let order = order::check(&operations, &changes(truth));
    (order.is_ok(), registers::check(&operations).is_ok())
}

const TWO: [(u64, Option<u64>); 2] = [(5, Some(7)), (6, Some(8))];

#[test]
fn what_is_right_passes() {
    let swap = Asked::Swap {
        expected: 8,
        value: 9,
    };
    let three = [TWO[0], TWO[1], (7, Some(9))];
    for (last, truth) in [
        (read((40, 50), 6, Some((8, 6))), &TWO[..]),
        // It began before the second write had returned.
        (read((25, 50), 5, Some((7, 5))), &TWO),
        (
            operation((40, 50), swap, Outcome::Written { revision: 7 }),
            &three,
        ),
        // Nobody knows: made or not.
        (operation((40, 50), swap, Outcome::Unknown), &TWO),
        (operation((40, 50), swap, Outcome::Unknown), &three),
    ] {
        assert_eq!(verdicts(last.clone(), truth), (true, true), "{last:?}");
    }
}

#[test]
fn what_is_wrong_is_found() {
    let swap = |expected| Asked::Swap { expected, value: 9 };
    let three = [TWO[0], TWO[1], (7, Some(9))];
    for (last, truth, found_by_both) in [
        // A stale read, with the index that a member had that did not know better, and with another.
        (read((40, 50), 5, Some((7, 5))), &TWO[..], true),
        (read((40, 50), 6, Some((7, 5))), &TWO, true),
        (read((40, 50), 6, None), &TWO, true),
        // Made although the condition did not hold; refused although it did.
        (
            operation((40, 50), swap(7), Outcome::Written { revision: 7 }),
            &three,
            true,
        ),
        (
            operation((40, 50), swap(8), Outcome::Refused { index: 6 }),
            &TWO,
            true,
        ),
        // An acknowledged write that never was; two with one revision; one before its time. Only the
        // revisions tell.
        (put((40, 50), 9, 7), &TWO, false),
        (put((40, 50), 9, 6), &TWO, false),
        (put((40, 50), 9, 4), &[(4, Some(9)), TWO[0], TWO[1]], false),
        (
            operation((40, 50), Asked::Read, Outcome::Malformed(String::new())),
            &TWO,
            false,
        ),
    ] {
        let (order, registers) = verdicts(last.clone(), truth);
        assert!(
            !order && registers != found_by_both,
            "{last:?}: {order} {registers}"
        );
    }
    // A write that was made twice.
    let twice = changes(&[TWO[0], TWO[1], (7, Some(7))]);
    assert!(order::check(&[], &twice).is_err());
}

#[test]
fn gaps_and_duplicates_are_found() {
    let truth = changes(&TWO);
    let all: Vec<_> = truth.clone().into_iter().collect();
    assert!(watching::compare(&all, &truth).is_ok());
    let again = [&all[..], &all[1..]].concat();
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    for wrong in [&all[1..], &all[..1], &again, &reversed, &[]] {
        assert!(watching::compare(wrong, &truth).is_err(), "{wrong:?}");
    }
}

/// A member that is cut off answers a plain read from what it knows. Taken for a quorum read, it must
/// be found by both checkers.
#[test]
fn a_server_that_breaks_the_rules_is_found() {
    isolated(
        "faults::proof::a_server_that_breaks_the_rules_is_found",
        LIMIT,
        || {
            let mut cluster = Cluster::start(3)?;
            let leader = cluster.wait_for_leader(&[1, 2, 3])?;
            let [follower, other] = [others(leader)[0], others(leader)[1]];
            let from = history::mark(super::client_address(leader))? + 1;
            let clock = Workload::start(0, &[leader], 1, Pace::Easy);
            let mut operations = vec![clock.observe(1, Asked::Put { value: 1 }, leader, true)];
            operations.push(clock.observe(1, Asked::Read, follower, true));
            cluster.network.cut_off(follower)?;
            operations.push(clock.observe(1, Asked::Put { value: 2 }, leader, true));
            operations.push(clock.observe(1, Asked::Read, other, true));
            let changes = history::changes(super::client_address(leader), from)?;
            both_pass(&operations, &changes)?;
            let stale = clock.observe(1, Asked::Read, follower, false);
            let is_read = matches!(stale.outcome, Outcome::Read { .. });
            ensure!(is_read, "the member did not answer: {stale:?}");
            operations.push(stale);
            ensure!(
                order::check(&operations, &changes).is_err(),
                "by revision: {operations:?}"
            );
            ensure!(
                registers::check(&operations).is_err(),
                "by register: {operations:?}"
            );
            cluster.network.heal()
        },
    );
}

fn both_pass(operations: &[Operation], changes: &Changes) -> Result<()> {
    let verdict = order::check(operations, changes).and_then(|()| registers::check(operations));
    verdict.map_err(|violation| anyhow::anyhow!(violation))
}

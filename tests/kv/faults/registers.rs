//! Hands each register's history to a general linearizability checker.
//!
//! It knows nothing of revisions, and is for small histories.

use std::collections::BTreeMap;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::Action::{Call, Response};
use todc_utils::linearizability::history::History;
use todc_utils::specifications::etcd::EtcdOperation::{CompareAndSwap, Read, Write};
use todc_utils::specifications::etcd::EtcdStatus::{Fail, Invoke, Okay, Unknown};
use todc_utils::specifications::etcd::{EtcdOperation, EtcdSpecification};

use super::history::{Asked, Operation, Outcome};

/// Stands for a key that is not there; no client writes it.
const ABSENT: u32 = 0;

/// Checks each register by itself; the first whose history is not linearizable is the error.
pub(crate) fn check(operations: &[Operation]) -> Result<(), String> {
    let mut by_key: BTreeMap<u64, Vec<&Operation>> = BTreeMap::new();
    let says_something = |operation: &&Operation| match operation.outcome {
        Outcome::Malformed(_) => false,
        Outcome::Unknown => operation.asked != Asked::Read,
        _ => true,
    };
    for operation in operations.iter().filter(says_something) {
        by_key.entry(operation.key).or_default().push(operation);
    }
    for (key, operations) in by_key {
        if !WGLChecker::<EtcdSpecification>::is_linearizable(history(&operations)) {
            return Err(format!(
                "register {key} is not linearizable: {operations:#?}"
            ));
        }
    }
    Ok(())
}

/// Every operation is a process of its own. Those with an unknown end last to the end.
fn history(operations: &[&Operation]) -> History<EtcdOperation> {
    let mut actions = vec![
        (0, 0, Call(Write(Invoke, ABSENT))),
        (0, 0, Response(Write(Okay, ABSENT))),
    ];
    for (number, operation) in operations.iter().enumerate() {
        let (call, response) = translate(operation);
        let end = match operation.outcome {
            Outcome::Unknown => u64::MAX,
            _ => operation.returned,
        };
        actions.push((operation.invoked, number + 1, Call(call)));
        actions.push((end, number + 1, Response(response)));
    }
    actions.sort_by_key(|(at, _, action)| (*at, matches!(action, Response(_))));
    // What was put first must stay so.
    actions.sort_by_key(|(_, number, _)| *number > 0);
    let actions = actions
        .into_iter()
        .map(|(_, number, action)| (number, action));
    History::from_actions(actions.collect())
}

fn translate(operation: &Operation) -> (EtcdOperation, EtcdOperation) {
    let status = match operation.outcome {
        Outcome::Written { .. } | Outcome::Read { .. } => Okay,
        Outcome::Refused { .. } => Fail,
        Outcome::Unknown | Outcome::Malformed(_) => Unknown,
    };
    match operation.asked {
        Asked::Read => {
            let found = match operation.outcome {
                Outcome::Read {
                    found: Some((value, _)),
                    ..
                } => small(value),
                _ => ABSENT,
            };
            (Read(Invoke, None), Read(status, Some(found)))
        }
        Asked::Put { value } => (Write(Invoke, small(value)), Write(status, small(value))),
        Asked::Swap { expected, value } => {
            let values = (small(expected), small(value));
            (
                CompareAndSwap(Invoke, values),
                CompareAndSwap(status, values),
            )
        }
        Asked::Delete { expected } => {
            let values = (small(expected), ABSENT);
            (
                CompareAndSwap(Invoke, values),
                CompareAndSwap(status, values),
            )
        }
    }
}

fn small(value: u64) -> u32 {
    u32::try_from(value).expect("values are numbers of operations")
}

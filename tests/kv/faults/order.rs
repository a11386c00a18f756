//! Checks a whole history by revision, in O(n log n).
//!
//! It trusts nobody: the store's own account of what has happened is held against what clients saw.

use std::collections::{BTreeMap, HashMap};

use super::history::{Asked, Change, Changes, Operation, Outcome};

/// Checks that what clients saw is one order, the revisions', which respects real time.
///
/// # Errors
/// The first violation, in words.
pub(crate) fn check(operations: &[Operation], changes: &Changes) -> Result<(), String> {
    let registers = Registers::new(changes)?;
    for operation in operations {
        registers
            .check(operation)
            .map_err(|what| format!("{what}: {operation:?}"))?;
    }
    unique_revisions(operations)?;
    real_time(operations, &registers)
}

/// The store's account, by register and by value.
struct Registers<'a> {
    changes: &'a Changes,
    by_key: HashMap<u64, BTreeMap<u64, Option<u64>>>,
    by_value: HashMap<u64, u64>,
}

impl<'a> Registers<'a> {
    /// Fails if the account contradicts itself.
    fn new(changes: &'a Changes) -> Result<Self, String> {
        let mut by_key: HashMap<u64, BTreeMap<u64, Option<u64>>> = HashMap::new();
        let mut by_value = HashMap::new();
        for (&revision, change) in changes {
            let register = by_key.entry(change.key).or_default();
            let before = register.last_key_value().and_then(|(_, value)| *value);
            if before != change.before {
                return Err(format!("{change:?} at {revision} comes after {before:?}"));
            }
            register.insert(revision, change.value);
            let again = change
                .value
                .and_then(|value| by_value.insert(value, revision));
            if let Some(again) = again {
                return Err(format!(
                    "{change:?} at {revision} was made before, at {again}"
                ));
            }
        }
        Ok(Self {
            changes,
            by_key,
            by_value,
        })
    }

    /// The newest value at an index, with its revision.
    fn at(&self, key: u64, index: u64) -> Option<(u64, u64)> {
        let (revision, value) = self.by_key.get(&key)?.range(..=index).next_back()?;
        value.map(|value| (value, *revision))
    }

    fn check(&self, operation: &Operation) -> Result<(), String> {
        let Operation { key, asked, .. } = operation;
        match &operation.outcome {
            Outcome::Written { revision } => match self.changes.get(revision) {
                None => Err("an acknowledged write is lost".to_owned()),
                Some(change) if change.key == *key && is_made_by(change, *asked) => Ok(()),
                Some(change) => Err(format!("its revision is another change's, {change:?}")),
            },
            Outcome::Refused { index } => match (*asked, self.at(*key, *index)) {
                (Asked::Swap { expected, .. } | Asked::Delete { expected }, Some((value, _)))
                    if value == expected =>
                {
                    Err("refused although the condition held".to_owned())
                }
                _ => Ok(()),
            },
            Outcome::Read { index, found } => {
                let newest = self.at(*key, *index);
                if newest == *found {
                    return Ok(());
                }
                Err(format!("the newest value at its index is {newest:?}"))
            }
            Outcome::Unknown => Ok(()),
            Outcome::Malformed(_) => Err("no server may answer so".to_owned()),
        }
    }

    /// The place of an operation in the order, if it is known or can be found out; and whether it
    /// made a revision of its own.
    fn place(&self, operation: &Operation) -> Option<(u64, bool)> {
        match (&operation.outcome, operation.asked) {
            (Outcome::Written { revision }, _) => Some((*revision, true)),
            (Outcome::Read { index, .. } | Outcome::Refused { index }, _) => Some((*index, false)),
            (Outcome::Unknown, Asked::Put { value } | Asked::Swap { value, .. }) => {
                self.by_value.get(&value).map(|revision| (*revision, true))
            }
            _ => None,
        }
    }
}

fn is_made_by(change: &Change, asked: Asked) -> bool {
    match asked {
        Asked::Read => false,
        Asked::Put { value } => change.value == Some(value),
        Asked::Swap { expected, value } => {
            change.value == Some(value) && change.before == Some(expected)
        }
        Asked::Delete { expected } => change.value.is_none() && change.before == Some(expected),
    }
}

fn unique_revisions(operations: &[Operation]) -> Result<(), String> {
    let mut seen = HashMap::new();
    for operation in operations {
        if let Outcome::Written { revision } = operation.outcome
            && let Some(other) = seen.insert(revision, operation)
        {
            return Err(format!(
                "two writes have one revision: {operation:?} {other:?}"
            ));
        }
    }
    Ok(())
}

/// What had returned before an operation was invoked has an earlier place.
fn real_time(operations: &[Operation], registers: &Registers<'_>) -> Result<(), String> {
    let mut moments = Vec::new();
    for operation in operations {
        if let Some((place, is_write)) = registers.place(operation) {
            moments.push((operation.invoked, true, place, is_write, operation));
            if operation.outcome != Outcome::Unknown {
                moments.push((operation.returned, false, place, is_write, operation));
            }
        }
    }
    moments.sort_by_key(|(at, is_begin, ..)| (*at, !is_begin));
    let mut latest: Option<(u64, &Operation)> = None;
    for (_, is_begin, place, is_write, operation) in moments {
        if !is_begin {
            if latest.is_none_or(|(highest, _)| place > highest) {
                latest = Some((place, operation));
            }
        } else if let Some((highest, earlier)) = latest
            && (place < highest || is_write && place == highest)
        {
            return Err(format!(
                "{operation:?} began after {earlier:?} had returned"
            ));
        }
    }
    Ok(())
}

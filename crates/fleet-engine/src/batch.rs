//! Steps packed into transactions.
//!
//! Which steps there are is decided elsewhere, and so is what becomes of those that fail.

use std::collections::{HashSet, VecDeque};

use fleet_store::{Condition, OPERATIONS_MAX, Operation, Transaction};

/// What is done together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) operations: Vec<Operation>,
}

impl Step {
    /// Adds what another one does.
    pub(crate) fn merge(&mut self, other: Self) {
        for condition in other.conditions {
            if !self.conditions.contains(&condition) {
                self.conditions.push(condition);
            }
        }
        self.operations.extend(other.operations);
    }

    /// Whether a transaction can hold it, beside the one condition that all have.
    pub(crate) fn fits(&self) -> bool {
        self.conditions.len() < OPERATIONS_MAX && self.operations.len() <= OPERATIONS_MAX
    }
}

/// Takes steps from the front, as many as a transaction holds and `limit` allows, at least one.
pub(crate) fn take(
    steps: &mut VecDeque<Step>,
    fence: &Condition,
    limit: usize,
) -> Option<Transaction> {
    let mut conditions = HashSet::from([fence.clone()]);
    let mut transaction = Transaction {
        conditions: vec![fence.clone()],
        operations: Vec::new(),
    };
    for taken in 0..limit.max(1) {
        let Some(step) = steps.front() else {
            break;
        };
        let new = step
            .conditions
            .iter()
            .filter(|one| !conditions.contains(*one));
        let is_full = transaction.conditions.len() + new.count() > OPERATIONS_MAX
            || transaction.operations.len() + step.operations.len() > OPERATIONS_MAX;
        if is_full && taken > 0 {
            break;
        }
        let step = steps.pop_front()?;
        let new = step
            .conditions
            .into_iter()
            .filter(|one| conditions.insert(one.clone()));
        transaction.conditions.extend(new);
        transaction.operations.extend(step.operations);
    }
    (!transaction.operations.is_empty()).then_some(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(n: usize) -> Step {
        let key = format!("k{n}");
        Step {
            conditions: vec![
                Condition::Absent(key.clone()),
                Condition::Exists("all".to_owned()),
            ],
            operations: vec![Operation::put(key, Vec::new())],
        }
    }

    fn sizes(count: usize, limit: usize) -> Vec<(usize, usize)> {
        let fence = Condition::ModifiedAt("leader".to_owned(), 1);
        let mut steps: VecDeque<Step> = (0..count).map(step).collect();
        let mut found = Vec::new();
        while let Some(transaction) = take(&mut steps, &fence, limit) {
            assert_eq!(transaction.conditions[0], fence);
            found.push((transaction.conditions.len(), transaction.operations.len()));
        }
        found
    }

    #[test]
    fn a_transaction_is_filled_and_not_more() {
        assert_eq!(sizes(200, usize::MAX), [(128, 126), (76, 74)]);
        assert_eq!(sizes(3, 2), [(4, 2), (3, 1)]);
        assert_eq!(sizes(2, 0), [(3, 1), (3, 1)], "at least one");
        assert_eq!(sizes(0, 5), []);
    }
}

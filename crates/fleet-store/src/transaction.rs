//! Changes that are made together, or not at all.
//!
//! Whether one is sent again after a failure is for the store's client; what is safe is said here.

use crate::store::{LeaseId, Revision};

/// How many conditions, and how many operations, a transaction may have: etcd's limit.
pub const OPERATIONS_MAX: usize = 128;

/// Operations under conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// All have to hold.
    pub conditions: Vec<Condition>,
    /// Each about keys of its own.
    pub operations: Vec<Operation>,
}

/// What has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The key is not there.
    Absent(String),
    /// The key is there.
    Exists(String),
    /// The key is there, since this revision without a gap.
    CreatedAt(String, Revision),
    /// The key is there, and was last put at this revision.
    ModifiedAt(String, Revision),
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a key.
    Put {
        /// Which.
        key: String,
        /// What.
        value: Vec<u8>,
        /// The lease with which the key ends. Without one, a key that had one loses it.
        lease: Option<LeaseId>,
    },
    /// Deletes a key, if it is there.
    Delete(String),
    /// Deletes all keys that begin with this.
    DeletePrefix(String),
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All was done, at this revision.
    Committed(Revision),
    /// A condition did not hold; nothing was done. The store was at this revision.
    ConditionFailed(Revision),
}

impl Condition {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key)
            | Self::Exists(key)
            | Self::CreatedAt(key, _)
            | Self::ModifiedAt(key, _) => key,
        }
    }

    /// Whether an operation makes it fail.
    fn is_broken_by(&self, operation: &Operation) -> bool {
        let is_touched = match operation {
            Operation::Put { key, .. } | Operation::Delete(key) => key == self.key(),
            Operation::DeletePrefix(prefix) => self.key().starts_with(prefix.as_str()),
        };
        let is_put = matches!(operation, Operation::Put { .. });
        is_touched
            && match self {
                Self::Absent(_) => is_put,
                Self::Exists(_) | Self::CreatedAt(..) => !is_put,
                Self::ModifiedAt(..) => true,
            }
    }
}

impl Operation {
    /// Writes a key that no lease ends.
    pub fn put(key: String, value: Vec<u8>) -> Self {
        let lease = None;
        Self::Put { key, value, lease }
    }

    /// Writes a key that ends with a lease.
    pub fn put_leased(key: String, value: Vec<u8>, lease: LeaseId) -> Self {
        let lease = Some(lease);
        Self::Put { key, value, lease }
    }
}

impl Transaction {
    /// One condition, one operation.
    pub fn new(condition: Condition, operation: Operation) -> Self {
        Self {
            conditions: vec![condition],
            operations: vec![operation],
        }
    }

    /// Whether it makes its own conditions fail, so that it cannot be carried out twice.
    pub fn happens_once(&self) -> bool {
        self.conditions.iter().any(|condition| {
            let mut operations = self.operations.iter();
            operations.any(|operation| condition.is_broken_by(operation))
        })
    }
}

impl Outcome {
    /// Whether all was done.
    pub fn is_committed(self) -> bool {
        matches!(self, Self::Committed(_))
    }

    /// The store's revision then.
    pub fn revision(self) -> Revision {
        match self {
            Self::Committed(revision) | Self::ConditionFailed(revision) => revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_its_own_conditions_happens_once() {
        let key = || "a".to_owned();
        let put = || Operation::put(key(), Vec::new());
        let delete = || Operation::Delete(key());
        let all = || Operation::DeletePrefix(String::new());
        let rows = [
            (Condition::Absent(key()), put(), true),
            (Condition::Absent(key()), delete(), false),
            (Condition::Exists(key()), put(), false),
            (Condition::Exists(key()), all(), true),
            (Condition::CreatedAt(key(), 1), put(), false),
            (Condition::CreatedAt(key(), 1), delete(), true),
            (Condition::ModifiedAt(key(), 1), put(), true),
            (Condition::ModifiedAt("b".to_owned(), 1), put(), false),
        ];
        for (condition, operation, expected) in rows {
            let transaction = Transaction::new(condition, operation);
            assert_eq!(transaction.happens_once(), expected, "{transaction:?}");
        }
    }
}

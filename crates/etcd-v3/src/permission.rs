//! What a request needs to be allowed.
use kv_model::LeaseId;
use kv_model::auth::{Access, Subject};
use kv_model::command::{KeyRange, LeaseChoice, Operation, Transaction};

/// What a transaction reads and writes, whichever way its compares go.
pub fn needed(transaction: &Transaction) -> Vec<(Access, Subject)> {
    let mut needed = Vec::new();
    collect(transaction, &mut needed);
    needed
}

/// The leases on which a transaction may hang keys.
pub fn leases(transaction: &Transaction) -> Vec<LeaseId> {
    let operations = transaction.success.iter().chain(&transaction.failure);
    let of = |operation: &Operation| match operation {
        Operation::Nested(inside) => leases(inside),
        Operation::Put {
            lease: LeaseChoice::Lease(id),
            ..
        } => vec![*id],
        _ => Vec::new(),
    };
    operations.flat_map(of).collect()
}

fn collect(transaction: &Transaction, needed: &mut Vec<(Access, Subject)>) {
    let of = |access, keys: &KeyRange| (access, Subject::Keys(keys.clone()));
    for compare in &transaction.compares {
        needed.push(of(Access::Read, &compare.keys));
    }
    for operation in transaction.success.iter().chain(&transaction.failure) {
        let (keys, reads) = match operation {
            Operation::Nested(inside) => {
                collect(inside, needed);
                continue;
            }
            Operation::Range(query) => {
                needed.push(of(Access::Read, &query.keys));
                continue;
            }
            Operation::Put {
                key, want_previous, ..
            } => (&KeyRange::Single(key.clone()), *want_previous),
            Operation::DeleteRange {
                keys,
                want_previous,
            } => (keys, *want_previous),
        };
        needed.push(of(Access::Write, keys));
        // Who sees what was there before reads it.
        if reads {
            needed.push(of(Access::Read, keys));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &'static str, want_previous: bool) -> Operation {
        Operation::Put {
            key: key.into(),
            value: None,
            lease: LeaseChoice::None,
            want_previous,
        }
    }

    #[test]
    fn both_ways_and_all_levels_count() {
        let inside = Transaction {
            failure: vec![put("c", true)],
            ..Transaction::default()
        };
        let transaction = Transaction {
            success: vec![put("a", false)],
            failure: vec![Operation::Nested(inside)],
            ..Transaction::default()
        };
        let key = |key: &'static str| Subject::Keys(KeyRange::Single(key.into()));
        let wanted = [
            (Access::Write, key("a")),
            (Access::Write, key("c")),
            (Access::Read, key("c")),
        ];
        assert_eq!(needed(&transaction), wanted);
    }

    #[test]
    fn leases_are_found_on_all_levels() {
        let hung = |id| Operation::Put {
            key: "a".into(),
            value: None,
            lease: LeaseChoice::Lease(LeaseId(id)),
            want_previous: false,
        };
        let inside = Transaction {
            failure: vec![hung(2)],
            ..Transaction::default()
        };
        let transaction = Transaction {
            success: vec![hung(1), put("b", false)],
            failure: vec![Operation::Nested(inside)],
            ..Transaction::default()
        };
        assert_eq!(leases(&transaction), [LeaseId(1), LeaseId(2)]);
    }
}

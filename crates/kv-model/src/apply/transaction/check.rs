//! Refuses transactions that could write one key twice, as etcd does, and those nested too deep.
//!
//! It looks at both branches of every level and at no table.
use std::collections::BTreeSet;

use bytes::Bytes;

use crate::command::{KeyRange, Operation, Transaction};
use crate::error_code::ErrorCode;

/// How many transactions may stand inside each other. Without a limit, one could exhaust a stack.
const DEPTH_MAX: usize = 64;

type Checked<T> = Result<T, (ErrorCode, String)>;

/// The keys and ranges that a list of operations writes.
#[derive(Default)]
struct Written<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletes: Vec<&'a KeyRange>,
}

pub(super) fn keys_written(transaction: &Transaction) -> Checked<()> {
    written(&transaction.success, 1)?;
    written(&transaction.failure, 1)?;
    Ok(())
}

fn duplicate<T>(key: &Bytes) -> Checked<T> {
    let cause = String::from_utf8_lossy(key).into_owned();
    Err((ErrorCode::DuplicateKey, cause))
}

/// As etcd sees it: it takes the mark of a range without an end for an end before the beginning, so
/// that such a range has no key, and what is removed by it may be put by the same transaction.
fn contains(range: &KeyRange, key: &Bytes) -> bool {
    !matches!(range, KeyRange::From(_)) && range.contains(key)
}

impl<'a> Written<'a> {
    fn put(&mut self, key: &'a Bytes) -> Checked<()> {
        let is_deleted = self.deletes.iter().any(|range| contains(range, key));
        if is_deleted || !self.puts.insert(key) {
            return duplicate(key);
        }
        Ok(())
    }

    /// Takes in a transaction inside. Its two branches may write the same keys: only one is done.
    fn nest(&mut self, success: Written<'a>, failure: Written<'a>) -> Checked<()> {
        for key in success.puts.union(&failure.puts) {
            self.put(key)?;
        }
        self.deletes.extend(success.deletes);
        self.deletes.extend(failure.deletes);
        Ok(())
    }
}

fn written(operations: &[Operation], depth: usize) -> Checked<Written<'_>> {
    if depth > DEPTH_MAX {
        let cause = format!("transactions nested deeper than {DEPTH_MAX}");
        return Err((ErrorCode::InvalidField, cause));
    }
    let mut all = Written::default();
    for operation in operations {
        if let Operation::DeleteRange { keys, .. } = operation {
            all.deletes.push(keys);
        }
    }
    for operation in operations {
        if let Operation::Nested(nested) = operation {
            let success = written(&nested.success, depth + 1)?;
            let failure = written(&nested.failure, depth + 1)?;
            all.nest(success, failure)?;
        }
    }
    for operation in operations {
        if let Operation::Put { key, .. } = operation {
            all.put(key)?;
        }
    }
    Ok(all)
}

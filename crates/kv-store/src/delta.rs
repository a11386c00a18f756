//! Rows that were changed, in memory, in the order of their keys.
//!
//! One map of the stack between the readers and the database; it does not know the others.
use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use bytes::Bytes;
use kv_model::Table;

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Set(Bytes),
    Removed,
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Set(value) => value.len(),
            Self::Removed => 0,
        }
    }

    /// The value, if the row is there.
    pub(crate) fn value(&self) -> Option<&Bytes> {
        match self {
            Self::Set(value) => Some(value),
            Self::Removed => None,
        }
    }
}

/// What a row costs beside its bytes: its place in a tree node that is two thirds full, and the
/// allocator's overhead for key and value.
const ROW_OVERHEAD_BYTES: usize = 128;

pub(crate) type Changes = BTreeMap<Bytes, Change>;

/// Changed rows of all tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delta {
    tables: [Changes; Table::ALL.len()],
    rows: usize,
    bytes: usize,
}

impl Delta {
    /// Sets or removes a row. Key and value must own exactly their bytes.
    pub(crate) fn insert(&mut self, table: Table, key: Bytes, change: Change) {
        let key_bytes = key.len() + ROW_OVERHEAD_BYTES;
        self.bytes += change.bytes();
        if let Some(before) = self.tables[table as usize].insert(key, change) {
            self.bytes -= before.bytes();
        } else {
            self.bytes += key_bytes;
            self.rows += 1;
        }
    }

    /// Takes over all changes of a delta that is younger.
    pub(crate) fn extend(&mut self, newer: Self) {
        if self.rows == 0 {
            *self = newer;
            return;
        }
        for (table, changes) in Table::ALL.into_iter().zip(newer.tables) {
            for (key, change) in changes {
                self.insert(table, key, change);
            }
        }
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<&Change> {
        self.tables[table as usize].get(key)
    }

    pub(crate) fn range(
        &self,
        table: Table,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> btree_map::Range<'_, Bytes, Change> {
        self.tables[table as usize].range::<[u8], _>(bounds)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Memory it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

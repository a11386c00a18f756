//! Ranges over a stack of deltas and the database, as one.
//!
//! The youngest change of a key counts; a removed row hides the one below.
use std::cmp::Ordering;
use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;
use kv_model::{Table, TableError};

use crate::base::BaseRows;
use crate::delta::{Change, Delta};

/// The changes of several deltas in the order of keys, the youngest of each key.
pub(crate) struct Merged<'a> {
    /// Youngest first.
    sources: Vec<Peekable<btree_map::Range<'a, Bytes, Change>>>,
}

impl<'a> Merged<'a> {
    /// Merges a range of some deltas, youngest first.
    pub(crate) fn new(
        deltas: impl Iterator<Item = &'a Delta>,
        table: Table,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Self {
        let sources = deltas.map(|delta| delta.range(table, bounds).peekable());
        Self {
            sources: sources.collect(),
        }
    }
}

impl Merged<'_> {
    fn nothing() -> Self {
        Self {
            sources: Vec::new(),
        }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a Bytes, &'a Change);

    fn next(&mut self) -> Option<Self::Item> {
        let mut smallest: Option<&'a Bytes> = None;
        for source in &mut self.sources {
            if let Some((key, _)) = source.peek()
                && smallest.is_none_or(|smallest| *key < smallest)
            {
                smallest = Some(key);
            }
        }
        let smallest = smallest?;
        let mut youngest = None;
        for source in &mut self.sources {
            if let Some(row) = source.next_if(|(key, _)| *key == smallest) {
                youngest = youngest.or(Some(row));
            }
        }
        youngest
    }
}

/// Rows of a range as they stand.
pub(crate) struct MergedRows<'a> {
    changes: Peekable<Merged<'a>>,
    base: Peekable<BaseRows<'a>>,
}

impl<'a> MergedRows<'a> {
    pub(crate) fn new(changes: Merged<'a>, base: BaseRows<'a>) -> Self {
        Self {
            changes: changes.peekable(),
            base: base.peekable(),
        }
    }
}

impl Iterator for MergedRows<'_> {
    type Item = Result<(Bytes, Bytes), TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.changes.peek(), self.base.peek()) {
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
                (Some(_), Some(Err(_))) => {
                    self.changes = Merged::nothing().peekable();
                    continue;
                }
                (Some((changed, _)), Some(Ok((stored, _)))) => (*changed).cmp(stored),
            };
            if order == Ordering::Greater {
                return self.base.next();
            }
            if order == Ordering::Equal {
                self.base.next();
            }
            if let Some((key, Change::Set(value))) = self.changes.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

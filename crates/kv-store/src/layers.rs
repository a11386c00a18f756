//! The stack of deltas above the database: what a view shares and the writer adds to.
//!
//! A delta that a view holds is never changed: what comes later goes into a new one on top. Deltas
//! that nobody holds any more grow in place, and small ones are merged, so that there are few.
use std::sync::Arc;

use kv_model::Table;

use crate::base::Base;
use crate::delta::{Change, Delta};

/// A delta is merged into the one below it when that has at most so many times its rows. It bounds
/// the height of the stack (logarithm of the rows), and how often a row is copied while views keep
/// the deltas from growing in place.
const MERGE_FACTOR: usize = 4;

/// One state of all tables.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    /// Oldest first.
    deltas: Vec<Arc<Delta>>,
    /// So many of them, the oldest, are being written to the database.
    flushing: usize,
    pub(crate) base: Arc<Base>,
}

impl Layers {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        Self {
            deltas: Vec::new(),
            flushing: 0,
            base,
        }
    }

    /// Adds the changes of a batch.
    pub(crate) fn absorb(&mut self, batch: Delta) {
        if batch.is_empty() {
            return;
        }
        match self.deltas[self.flushing..].last_mut().map(Arc::get_mut) {
            Some(Some(top)) => top.extend(batch),
            Some(None) | None => self.deltas.push(Arc::new(batch)),
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        while let [.., below, top] = &self.deltas[self.flushing..]
            && below.rows() <= top.rows() * MERGE_FACTOR
            && let (Some(top), Some(mut below)) = (self.deltas.pop(), self.deltas.pop())
        {
            Arc::make_mut(&mut below).extend(Arc::unwrap_or_clone(top));
            self.deltas.push(below);
        }
    }

    /// Leaves all deltas alone from now on, for the database to take them over; oldest first.
    pub(crate) fn freeze(&mut self) -> Vec<Arc<Delta>> {
        self.flushing = self.deltas.len();
        self.deltas.clone()
    }

    /// The database holds what was frozen. Gives the old deltas away, so that they can be dropped
    /// where nobody waits for it.
    pub(crate) fn flushed(&mut self, base: Arc<Base>) -> Vec<Arc<Delta>> {
        std::mem::replace(&mut self.base, base).abandon();
        self.deltas
            .drain(..std::mem::take(&mut self.flushing))
            .collect()
    }

    /// The deltas, youngest first.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = &Delta> {
        self.deltas.iter().rev().map(|delta| &**delta)
    }

    /// What became of a row since the database was written.
    pub(crate) fn change(&self, table: Table, key: &[u8]) -> Option<&Change> {
        self.deltas().find_map(|delta| delta.get(table, key))
    }

    /// Memory of what is neither written nor being written.
    pub(crate) fn pending_bytes(&self) -> usize {
        let pending = &self.deltas[self.flushing..];
        pending.iter().map(|delta| delta.bytes()).sum()
    }

    /// Memory of all deltas.
    pub(crate) fn bytes(&self) -> usize {
        self.deltas.iter().map(|delta| delta.bytes()).sum()
    }
}

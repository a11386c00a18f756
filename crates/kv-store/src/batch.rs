//! Changes that become visible together, or not at all.
//!
//! They are kept apart until the batch is complete; nothing is shared or locked meanwhile.
use bytes::Bytes;
use kv_model::{Event, Rows, Table, TableError, Tables, TablesMut};

use crate::delta::{Change, Delta};
use crate::layers::Layers;
use crate::view;

/// The tables while a batch is applied: a change is seen by the next read.
#[derive(Debug)]
pub struct Batch<'a> {
    layers: &'a Layers,
    changes: Delta,
    events: Vec<Event>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            changes: Delta::default(),
            events: Vec::new(),
        }
    }

    /// Adds events to the history, in the order of their revisions.
    pub fn record(&mut self, events: Vec<Event>) {
        self.events.extend(events);
    }

    pub(crate) fn finish(self) -> (Delta, Vec<Event>) {
        (self.changes, self.events)
    }
}

impl Tables for Batch<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        match self.changes.get(table, key) {
            Some(change) => Ok(change.value().cloned()),
            None => view::get(self.layers, table, key),
        }
    }

    fn range<'a>(&'a self, table: Table, from: &[u8], to: Option<&[u8]>) -> Rows<'a> {
        if to.is_some_and(|to| to <= from) {
            return Box::new(std::iter::empty());
        }
        let changes = Some(&self.changes);
        Box::new(view::range(changes, self.layers, table, from, to))
    }
}

impl TablesMut for Batch<'_> {
    fn put(&mut self, table: Table, key: Bytes, value: Bytes) {
        // A slice of a large buffer would keep all of that in memory, so both are copied.
        let own = |bytes: Bytes| Bytes::copy_from_slice(&bytes);
        self.changes
            .insert(table, own(key), Change::Set(own(value)));
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        let key = Bytes::copy_from_slice(key);
        self.changes.insert(table, key, Change::Removed);
    }
}

//! What the keys of a range were at an earlier revision.
//!
//! The tables hold the present. Every event tells what it replaced, so an earlier state is the
//! present one with the changes since undone: of each key, the earliest change tells what it was
//! before. Whoever keeps the events hands them over; reading costs memory for the keys that changed
//! since, and writing costs nothing.
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::command::{KeyRange, OrderBy, RangeQuery};
use crate::event::{Content, Event, Node};
use crate::record::key::{KeyNumbers, KeyRecord};
use crate::tables::{TableError, Tables};
use crate::units::Revision;

/// What the keys of a range were at a revision, as far as they have changed since.
#[derive(Debug, Clone)]
pub struct Past {
    keys: KeyRange,
    keep_values: bool,
    /// Nothing for a key that was not there.
    before: BTreeMap<Bytes, Option<KeyRecord>>,
}

impl Past {
    /// What a query for an earlier revision needs, before any change is undone: every event after
    /// that revision has to be, up to the revision of the tables, in order. `None` if the present
    /// answers it.
    pub fn of(tables: &dyn Tables, query: &RangeQuery) -> Result<Option<Self>, TableError> {
        let now = match query.revision {
            Some(_) => super::revision(tables)?,
            None => return Ok(None),
        };
        let Some(revision) = query.earlier_than(now) else {
            return Ok(None);
        };
        if let KeyRange::Single(key) = &query.keys
            && KeyRecord::read(tables, key)?
                .is_some_and(|record| record.numbers.modified <= revision)
        {
            return Ok(None);
        }
        let shows_values = !query.keys_only && !query.count_only;
        Ok(Some(Self {
            keys: query.keys.clone(),
            keep_values: shows_values || query.order.by == OrderBy::Value,
            before: BTreeMap::new(),
        }))
    }

    /// Takes note of what an event replaced.
    pub fn undo(&mut self, event: &Event) {
        for change in event.key_changes() {
            if self.keys.contains(change.key) && !self.before.contains_key(change.key) {
                let record = change.before.and_then(|node| self.record(node));
                self.before.insert(change.key.clone(), record);
            }
        }
    }

    /// Whether earlier changes are known of every key there can be, so that no more need be undone.
    pub fn is_complete(&self) -> bool {
        matches!(self.keys, KeyRange::Single(_)) && !self.before.is_empty()
    }

    /// The changed keys of a range in order, with what they were.
    pub(crate) fn range<'a>(
        &'a self,
        keys: &KeyRange,
    ) -> impl Iterator<Item = (&'a Bytes, &'a Option<KeyRecord>)> + use<'a> {
        let (from, to) = keys.bounds();
        let end = to.clone();
        // A map panics over a range whose end is before its beginning.
        let is_empty = to.is_some_and(|to| to <= from);
        let rows = self.before.range(from..);
        rows.take_while(move |(key, _)| !is_empty && end.as_ref().is_none_or(|end| *key < end))
    }

    fn record(&self, node: &Node) -> Option<KeyRecord> {
        let Content::Value(value) = &node.content else {
            return None;
        };
        Some(KeyRecord {
            value: if self.keep_values {
                value.clone()
            } else {
                Bytes::new()
            },
            numbers: KeyNumbers {
                created_index: node.created_index,
                create_revision: node.create_revision,
                modified: node.modified,
                version: node.version,
                expires: node.expires,
                lease: node.lease,
            },
        })
    }
}

impl RangeQuery {
    /// The revision that it asks for, if that is not the present one.
    pub fn earlier_than(&self, now: Revision) -> Option<Revision> {
        self.revision
            .filter(|revision| *revision != Revision(0) && *revision < now)
    }
}

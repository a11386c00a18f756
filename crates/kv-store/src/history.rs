//! Reading the events of the past, in order of their revisions.
//!
//! What is recent comes from memory, the rest from files, in pages. Nothing waits here for what is
//! to come: that is what [`crate::Store::subscribe`] is for.
use std::sync::Arc;

use kv_model::{Event, Revision, TableError};

use crate::recent::{RecentLimit, event_bytes};
use crate::record::{Part, RecordError, Records};
use crate::store::Shared;

/// The events of the past.
#[derive(Clone)]
pub struct History {
    pub(crate) shared: Arc<Shared>,
}

/// Where a page ends: at the revision that reaches one of them. One revision is never divided, and
/// a page holds at least one.
#[derive(Debug, Clone, Copy)]
pub struct HistoryLimit {
    /// Events.
    pub events: usize,
    /// Their size in memory.
    pub bytes: usize,
}

impl Default for HistoryLimit {
    fn default() -> Self {
        Self {
            events: 1000,
            bytes: 1024 * 1024,
        }
    }
}

/// Events that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// They are not kept any more.
    #[error("the history before revision {} is gone", .oldest.0)]
    Cleared {
        /// From here on all events are there.
        oldest: Revision,
    },
    /// The history's files cannot be read, or are damaged.
    #[error("cannot read the history")]
    Unreadable(#[source] TableError),
}

impl From<RecordError> for HistoryError {
    fn from(error: RecordError) -> Self {
        Self::Unreadable(TableError(Box::new(error)))
    }
}

impl History {
    /// The revision from which on all events are there; one past the newest if there is none.
    pub fn oldest(&self) -> Revision {
        let of_files = self.shared.segments.lock().oldest();
        of_files.min(self.shared.state.read().recent.complete_from())
    }

    /// The revision of the last event that was applied.
    pub fn newest(&self) -> Revision {
        self.shared.state.read().recent.newest()
    }

    /// A page of events from a revision on (inclusive), empty if there is none yet. The next page
    /// begins after the last event's revision.
    pub fn from(
        &self,
        revision: Revision,
        limit: HistoryLimit,
    ) -> Result<Vec<Arc<Event>>, HistoryError> {
        let limit = RecentLimit {
            events: limit.events.max(1),
            bytes: limit.bytes.max(1),
        };
        if let Some(events) = self.shared.state.read().recent.from(revision, limit) {
            return Ok(events);
        }
        let parts = self.shared.segments.lock().parts_from(revision);
        let parts = parts.map_err(|oldest| HistoryError::Cleared { oldest })?;
        self.read(parts, revision, limit)
    }

    fn read(
        &self,
        parts: Vec<Part>,
        revision: Revision,
        limit: RecentLimit,
    ) -> Result<Vec<Arc<Event>>, HistoryError> {
        let mut records = Records::new(parts);
        let mut found: Vec<Arc<Event>> = Vec::new();
        let mut bytes = 0;
        loop {
            let place = records.position();
            let Some(record) = records.next()? else {
                return Ok(found);
            };
            if record.revision < revision {
                continue;
            }
            let is_next = found
                .last()
                .is_some_and(|last| last.revision != record.revision);
            if is_next && (found.len() >= limit.events || bytes >= limit.bytes) {
                if let (Some((segment, position)), Some(last)) = (place, found.last()) {
                    let next = last.revision.next();
                    self.shared.segments.lock().learn(next, segment, position);
                }
                return Ok(found);
            }
            let event = record.event();
            let event =
                event.map_err(|reason| HistoryError::Unreadable(TableError(reason.into())))?;
            bytes += event_bytes(&event);
            found.push(Arc::new(event));
        }
    }
}

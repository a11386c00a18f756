//! The latest events as objects: all that are not in the history's file yet, and some more.
//!
//! Most watchers are served from here. Files are not touched.
use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use kv_model::{Content, Event, Node, Revision};

/// The latest events.
#[derive(Debug)]
pub(crate) struct Recent {
    events: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
    /// So many events were before the first in `events`.
    before: u64,
    /// All events from this revision on are here.
    complete_from: Revision,
    newest: Revision,
    /// So many events there ever were are in the file.
    spilled: u64,
    unspilled_bytes: usize,
}

/// What is kept of events that are in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecentLimit {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Recent {
    /// Nothing is in memory, so many events up to this revision are in the file.
    pub(crate) fn new(events: u64, newest: Revision) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            before: events,
            complete_from: newest.next(),
            newest,
            spilled: events,
            unspilled_bytes: 0,
        }
    }

    /// The revision from which on all events are in memory.
    pub(crate) fn complete_from(&self) -> Revision {
        self.complete_from
    }

    pub(crate) fn newest(&self) -> Revision {
        self.newest
    }

    /// Memory of the events that are not in the file yet.
    pub(crate) fn unspilled_bytes(&self) -> usize {
        self.unspilled_bytes
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        let bytes = event_bytes(&event);
        self.newest = event.revision;
        self.bytes += bytes;
        self.unspilled_bytes += bytes;
        self.events.push_back((event, bytes));
    }

    /// Drops what the limit does not allow and the file has.
    pub(crate) fn trim(&mut self, limit: RecentLimit) {
        while (self.events.len() > limit.events || self.bytes > limit.bytes)
            && self.before < self.spilled
            && let Some((event, bytes)) = self.events.pop_front()
        {
            self.before += 1;
            self.bytes -= bytes;
            self.complete_from = event.revision.next();
        }
        if self.events.capacity() > 4 * self.events.len().max(64) {
            self.events.shrink_to_fit();
        }
    }

    /// So many events there ever were are in the file now.
    pub(crate) fn spilled(&mut self, events: u64) {
        self.spilled = events;
        let unspilled = self.events.iter().skip(self.spilled_here());
        self.unspilled_bytes = unspilled.map(|(_, bytes)| bytes).sum();
    }

    fn spilled_here(&self) -> usize {
        usize::try_from(self.spilled - self.before).unwrap_or(usize::MAX)
    }

    /// Events that are not in the file yet.
    pub(crate) fn unspilled(&self) -> Vec<Arc<Event>> {
        let events = self.events.iter().skip(self.spilled_here());
        events.map(|(event, _)| Arc::clone(event)).collect()
    }

    /// The events from a revision on, whole revisions, up to a limit; `None` if some are not here.
    pub(crate) fn from(&self, revision: Revision, limit: RecentLimit) -> Option<Vec<Arc<Event>>> {
        if revision < self.complete_from {
            return None;
        }
        let first = self
            .events
            .partition_point(|(event, _)| event.revision < revision);
        let mut found: Vec<Arc<Event>> = Vec::new();
        let mut bytes = 0;
        for (event, size) in self.events.iter().skip(first) {
            let is_enough = found.len() >= limit.events || bytes >= limit.bytes;
            if is_enough
                && found
                    .last()
                    .is_some_and(|last| last.revision != event.revision)
            {
                break;
            }
            bytes += size;
            found.push(Arc::clone(event));
        }
        Some(found)
    }
}

/// Memory of an event, about.
pub(crate) fn event_bytes(event: &Event) -> usize {
    let nodes = event.previous.iter().chain(&event.removed_keys);
    size_of::<Event>() + nodes.chain([&event.node]).map(node_bytes).sum::<usize>()
}

fn node_bytes(node: &Node) -> usize {
    let value = match &node.content {
        Content::Value(value) => value.len(),
        Content::Gone | Content::Directory | Content::DirectoryGone => 0,
    };
    size_of::<Node>() + node.key.len() + value
}

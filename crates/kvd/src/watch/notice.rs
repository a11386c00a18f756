//! An event on its way to watchers, written as text once for all of them.
//!
//! Matching and queues are elsewhere.
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kv_model::event::{Content, Event, Node};
use kv_model::{Revision, UnixNanoseconds};

/// An event and its texts.
#[derive(Debug)]
pub struct Notice {
    event: Arc<Event>,
    /// When it was published: a time to live is told as it was then.
    published: UnixNanoseconds,
    line: OnceLock<Bytes>,
    server_sent: OnceLock<Bytes>,
}

impl Notice {
    /// A notice of an event.
    pub fn new(event: Arc<Event>, published: UnixNanoseconds) -> Self {
        Self {
            event,
            published,
            line: OnceLock::new(),
            server_sent: OnceLock::new(),
        }
    }

    /// The revision it is about.
    pub fn revision(&self) -> Revision {
        self.event.revision
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// One line of JSON, as etcd writes it, with the line's end.
    pub fn line(&self) -> Bytes {
        let write = || etcd_v2::write_event(&self.event, self.published, false);
        self.line.get_or_init(write).clone()
    }

    /// A server-sent event: its id is the revision.
    pub fn server_sent(&self) -> Bytes {
        let write = || etcd_v2::server_sent_events::write(&self.event, self.published);
        self.server_sent.get_or_init(write).clone()
    }

    /// About how many bytes of memory the event holds.
    pub fn weight(&self) -> usize {
        let previous = self.event.previous.as_ref().map_or(0, node_weight);
        let removed: usize = self.event.removed_keys.iter().map(node_weight).sum();
        node_weight(&self.event.node) + previous + removed
    }
}

fn node_weight(node: &Node) -> usize {
    let value = match &node.content {
        Content::Value(value) => value.len(),
        _ => 0,
    };
    size_of::<Node>() + node.key.len() + value
}

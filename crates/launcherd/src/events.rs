//! What happened, for whoever asks later and whoever waits: the last events, and a channel.
//!
//! They are in memory, and begin with this process.

use std::collections::VecDeque;

use engine_api::event::Event;
use parking_lot::Mutex;
use tokio::sync::broadcast;

/// As many as Docker keeps.
const KEPT: usize = 256;

/// All events.
#[derive(Debug)]
pub(crate) struct Events {
    past: Mutex<VecDeque<Event>>,
    new: broadcast::Sender<Event>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            past: Mutex::new(VecDeque::new()),
            new: broadcast::channel(KEPT).0,
        }
    }

    /// Tells of one.
    pub(crate) fn tell(&self, event: Event) {
        let mut past = self.past.lock();
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(event.clone());
        // Nobody may wait.
        let _told = self.new.send(event);
    }

    /// Those that were, and those that come, without a gap.
    pub(crate) fn follow(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let past = self.past.lock();
        (past.iter().cloned().collect(), self.new.subscribe())
    }
}

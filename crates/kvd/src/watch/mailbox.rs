//! A watcher's short queue, filled by the hub and emptied by the watcher.
//!
//! It does not choose events.
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use kv_model::Revision;
use parking_lot::Mutex;

use super::notice::Notice;

/// At most so many notices wait; then the watcher has to read the history.
const QUEUE_NOTICES_MAX: usize = 64;
/// At most so many bytes wait, but always one notice.
const QUEUE_BYTES_MAX: usize = 64 * 1024;

/// The queue of one watcher.
#[derive(Debug)]
pub(crate) struct Mailbox(Mutex<State>);

#[derive(Debug)]
struct State {
    queue: VecDeque<Arc<Notice>>,
    bytes: usize,
    delivery: Delivery,
    waker: Option<Waker>,
}

/// Whether the hub puts events into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It puts every event from this revision on there.
    Live { from: Revision },
    /// It puts none there: from this revision on they are in the history.
    Behind { from: Revision },
    /// It never will again: the server stops.
    Closed,
}

impl Mailbox {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self(Mutex::new(State {
            queue: VecDeque::new(),
            bytes: 0,
            delivery,
            waker: None,
        }))
    }

    /// Takes a notice, or remembers from where on the history must be read. Returns whom to wake.
    pub(super) fn put(&self, notice: &Arc<Notice>) -> Option<Waker> {
        let state = &mut *self.0.lock();
        match state.delivery {
            Delivery::Live { from } if notice.revision() >= from => {}
            _ => return None,
        }
        let weight = notice.weight();
        let is_full = state.queue.len() >= QUEUE_NOTICES_MAX
            || (!state.queue.is_empty() && state.bytes + weight > QUEUE_BYTES_MAX);
        if is_full {
            let from = notice.revision();
            state.delivery = Delivery::Behind { from };
            return None;
        }
        state.queue.push_back(Arc::clone(notice));
        state.bytes += weight;
        state.waker.take()
    }

    /// Events from this revision on were not put there, and are in the history.
    pub(super) fn fall_behind(&self, missed: Revision) -> Option<Waker> {
        let state = &mut *self.0.lock();
        let Delivery::Live { from } = state.delivery else {
            return None;
        };
        let from = from.max(missed);
        state.delivery = Delivery::Behind { from };
        state.waker.take()
    }

    /// From now on the hub puts every event from this revision on there.
    pub(super) fn go_live(&self, from: Revision) {
        let state = &mut *self.0.lock();
        if state.delivery != Delivery::Closed {
            state.delivery = Delivery::Live { from };
        }
    }

    /// No more will come.
    pub(super) fn close(&self) -> Option<Waker> {
        let state = &mut *self.0.lock();
        state.delivery = Delivery::Closed;
        state.waker.take()
    }

    /// From where on the history must be read before anything can be taken, if so.
    pub(super) fn behind(&self) -> Option<Revision> {
        let state = self.0.lock();
        match state.delivery {
            Delivery::Behind { from } if state.queue.is_empty() => Some(from),
            _ => None,
        }
    }

    /// The next notice if it is of this revision; or where the history has the rest of it; or
    /// whatever else, if there is no more of it.
    pub(super) fn take_of(&self, revision: Revision) -> Result<Arc<Notice>, Delivery> {
        let state = &mut *self.0.lock();
        let of_it = |notice: &Arc<Notice>| notice.revision() == revision;
        if state.queue.front().is_some_and(of_it)
            && let Some(notice) = state.queue.pop_front()
        {
            state.bytes -= notice.weight();
            return Ok(notice);
        }
        match state.delivery {
            Delivery::Behind { from } if from == revision && state.queue.is_empty() => {
                Err(state.delivery)
            }
            _ => Err(Delivery::Live { from: revision }),
        }
    }

    /// Whether nothing is queued and nothing was missed.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.0.lock();
        state.queue.is_empty() && matches!(state.delivery, Delivery::Live { .. })
    }

    /// The next notice; or, once none is queued, what to do about it, unless more will come.
    pub(super) fn take(&self, waker: &Waker) -> Poll<Result<Arc<Notice>, Delivery>> {
        let state = &mut *self.0.lock();
        if let Some(notice) = state.queue.pop_front() {
            state.bytes -= notice.weight();
            return Poll::Ready(Ok(notice));
        }
        if let delivery @ (Delivery::Behind { .. } | Delivery::Closed) = state.delivery {
            return Poll::Ready(Err(delivery));
        }
        if state.waker.as_ref().is_none_or(|own| !own.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        Poll::Pending
    }
}

//! Proposes the removal of what has expired, when it is due and not before.
//!
//! Only the leader does, and only while something can expire: an idle cluster writes nothing, and no
//! timer runs. Which keys are removed is decided by the command's time, which leases by the command
//! itself: the same on all members.
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kv_model::{Command, Event, UnixNanoseconds, query};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::propose::Proposer;
use crate::state_machine::StateMachine;
use crate::status::{Role, Status};

/// The clock may be set; a long wait is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Between two removals, so that keys that expire one after the other are removed together.
const PAUSE: Duration = Duration::from_millis(10);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The earliest moment at which something may expire, as far as applied commands tell. It may be too
/// early, never too late.
#[derive(Debug)]
pub(crate) struct Deadline {
    earliest: AtomicI64,
    changed: Notify,
}

impl Default for Deadline {
    fn default() -> Self {
        Self {
            earliest: AtomicI64::new(i64::MAX),
            changed: Notify::new(),
        }
    }
}

impl Deadline {
    /// Looks at what a command did. Costs nothing if nothing expires.
    pub(crate) fn note(&self, events: &[Event]) {
        let expires = events.iter().filter_map(|event| event.node.expires);
        if let Some(UnixNanoseconds(earliest)) = expires.min()
            && self.earliest.fetch_min(earliest, Ordering::Relaxed) > earliest
        {
            self.changed.notify_one();
        }
    }

    /// Everything is to be looked at anew.
    pub(crate) fn wake(&self) {
        self.earliest.store(i64::MAX, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

/// Runs until the member stops.
pub(crate) async fn run(
    machine: StateMachine,
    proposer: Proposer,
    mut status: watch::Receiver<Status>,
) {
    loop {
        let now = status.borrow_and_update().clone();
        if now.has_ended() {
            return;
        }
        if now.role != Role::Leader {
            machine.leases().rest();
            if status.changed().await.is_err() {
                return;
            }
            continue;
        }
        take_over_leases(&machine, now.term);
        let waits = [
            due(&machine, &proposer).await,
            end_leases(&machine, &proposer).await,
        ];
        let wait = waits.into_iter().flatten().min();
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                return;
            },
            () = machine.deadline().changed.notified() => {}
            () = machine.leases().changed.notified() => {}
            () = sleep(wait) => {}
        }
    }
}

/// Whoever begins to lead gives every lease its whole time: nobody knows when it was kept alive.
fn take_over_leases(machine: &StateMachine, term: u64) {
    if !machine.leases().lead(term) && machine.leases().is_kept() {
        return;
    }
    match query::leases(&machine.store().view()) {
        Ok(leases) => machine.leases().take_over(leases, Instant::now()),
        // Until they can be read, none ends and none is kept alive.
        Err(error) => tracing::error!(%error, "cannot read the leases"),
    }
}

/// Proposes the end of leases that were not kept alive, and says how long to wait for the next.
async fn end_leases(machine: &StateMachine, proposer: &Proposer) -> Option<Duration> {
    let leases = machine.leases().ended(Instant::now());
    if leases.is_empty() {
        return machine.leases().until_next(Instant::now());
    }
    // Keys with a moment of their own are not its affair.
    let now = UnixNanoseconds(i64::MIN);
    let command = Command::Expire { now, leases };
    match proposer.propose_as_leader(&command).await {
        Ok(()) => Some(PAUSE),
        Err(refusal) => {
            tracing::debug!(?refusal, "leases that have ended were not removed yet");
            Some(RETRY)
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Proposes what is due, and says how long to wait for the next; nothing if nothing expires.
async fn due(machine: &StateMachine, proposer: &Proposer) -> Option<Duration> {
    machine
        .deadline()
        .earliest
        .store(i64::MAX, Ordering::Relaxed);
    let next = match query::next_deadline(&machine.store().view()) {
        Ok(next) => next?,
        Err(error) => {
            tracing::error!(%error, "cannot read what expires next");
            return Some(LOOK_AGAIN);
        }
    };
    machine
        .deadline()
        .earliest
        .fetch_min(next.0, Ordering::Relaxed);
    let now = now();
    if next > now {
        let nanoseconds = u64::try_from(next.0.saturating_sub(now.0)).unwrap_or(0);
        return Some(Duration::from_nanos(nanoseconds).min(LOOK_AGAIN));
    }
    let command = Command::Expire {
        now,
        leases: Vec::new(),
    };
    match proposer.propose(&command).await {
        Ok(_) => Some(PAUSE),
        Err(error) => {
            tracing::debug!(%error, "what has expired was not removed yet");
            Some(RETRY)
        }
    }
}

fn now() -> UnixNanoseconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanoseconds = since.map_or(0, |since| since.as_nanos());
    UnixNanoseconds(i64::try_from(nanoseconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use kv_model::{Action, Content, Node, Revision};

    use super::*;

    fn event(expires: Option<i64>) -> Event {
        let node = Node {
            key: bytes::Bytes::from_static(b"/a"),
            content: Content::Gone,
            created_index: Revision(1),
            create_revision: Revision(1),
            modified: Revision(1),
            version: 1,
            expires: expires.map(UnixNanoseconds),
            lease: None,
        };
        Event {
            revision: Revision(1),
            action: Action::Set,
            node,
            previous: None,
            removed_keys: Vec::new(),
            refresh: false,
        }
    }

    #[test]
    fn only_an_earlier_deadline_wakes() {
        let deadline = Deadline::default();
        let woken = || {
            let mut notified = std::pin::pin!(deadline.changed.notified());
            notified.as_mut().enable()
        };
        deadline.note(&[event(None)]);
        assert!(!woken());
        deadline.note(&[event(Some(50)), event(Some(40))]);
        assert!(woken());
        deadline.note(&[event(Some(45))]);
        assert!(!woken());
        deadline.note(&[event(Some(39))]);
        assert!(woken());
    }
}

//! Forgets the past by itself, as far as it is told to.
//!
//! Every member remembers which revision was the last one when; only the leader proposes to forget, so
//! that all members forget the same. Nothing runs while nothing is written, and nothing of this does
//! unless it is asked for. What bounds the history's size on each member's disk is the store's affair.
use std::collections::VecDeque;
use std::time::Duration;

use kv_model::{Command, Revision, query};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::propose::Proposer;
use crate::replica::Position;
use crate::state_machine::StateMachine;
use crate::status::{Role, Status};

/// How much of the past is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compaction {
    /// All of it, as long as the history's window does, and nobody compacts.
    #[default]
    Manual,
    /// Every state of so long.
    Age(Duration),
    /// The states of so many revisions.
    Revisions(u64),
}

/// A length of time is looked at so many times.
const LOOKS: u32 = 10;
const LOOK_MIN: Duration = Duration::from_millis(100);
/// As often as etcd looks at a long one.
const LOOK_MAX: Duration = Duration::from_hours(1);
/// How often the number of revisions is looked at.
const REVISIONS_LOOK: Duration = Duration::from_secs(5);

/// Runs until the member stops.
pub(crate) async fn run(
    compaction: Compaction,
    machine: StateMachine,
    proposer: Proposer,
    status: watch::Receiver<Status>,
    mut position: watch::Receiver<Position>,
) {
    let mut due = match compaction {
        Compaction::Manual => return,
        Compaction::Age(age) => Due::Age(Samples::new(age)),
        Compaction::Revisions(count) => Due::Revisions(count),
    };
    loop {
        if due.is_idle() && position.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(due.pause()).await;
        if status.borrow().has_ended() {
            return;
        }
        let view = machine.store().view();
        let (now, compacted) = match (query::revision(&view), query::compacted(&view)) {
            (Ok(now), Ok(compacted)) => (now, compacted),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "cannot see what of the past is to be forgotten");
                continue;
            }
        };
        drop(view);
        let until = due
            .look(now, Instant::now())
            .filter(|until| *until > compacted);
        let is_leader = status.borrow().role == Role::Leader;
        if let Some(until) = until.filter(|_| is_leader) {
            let command = Command::Compact(until);
            match proposer.propose_as_leader(&command).await {
                Ok(()) => tracing::info!(revision = until.0, "forgot what was before"),
                // There will be another one.
                Err(refusal) => tracing::debug!(?refusal, "the past was not forgotten yet"),
            }
        }
    }
}

/// What is to be forgotten when.
enum Due {
    Age(Samples),
    Revisions(u64),
}

impl Due {
    /// Whether nothing will become due unless something is written.
    fn is_idle(&self) -> bool {
        match self {
            Self::Age(samples) => samples.list.is_empty(),
            Self::Revisions(_) => true,
        }
    }

    fn pause(&self) -> Duration {
        match self {
            Self::Age(samples) => samples.pause(),
            Self::Revisions(_) => REVISIONS_LOOK,
        }
    }

    /// Up to where the past is to be forgotten now.
    fn look(&mut self, revision: Revision, now: Instant) -> Option<Revision> {
        match self {
            Self::Age(samples) => samples.look(revision, now),
            Self::Revisions(count) => revision.0.checked_sub(*count).map(Revision),
        }
    }
}

/// Which revision was the last one when.
struct Samples {
    age: Duration,
    last: Revision,
    list: VecDeque<(Instant, Revision)>,
}

impl Samples {
    fn new(age: Duration) -> Self {
        Self {
            age,
            last: Revision(0),
            list: VecDeque::new(),
        }
    }

    fn pause(&self) -> Duration {
        (self.age / LOOKS).clamp(LOOK_MIN, LOOK_MAX)
    }

    fn look(&mut self, revision: Revision, now: Instant) -> Option<Revision> {
        if revision != self.last {
            self.last = revision;
            self.list.push_back((now, revision));
        }
        let mut due = None;
        while let Some((at, revision)) = self.list.front()
            && now.duration_since(*at) >= self.age
        {
            due = Some(*revision);
            self.list.pop_front();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_age_every_state_is_kept() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut due = Due::Age(Samples::new(Duration::from_secs(100)));
        assert_eq!(due.pause(), Duration::from_secs(10));
        assert!(due.is_idle());
        let mut forgotten = Vec::new();
        for tick in 1..=40 {
            // Ten revisions a tick, until nothing is written any more.
            let revision = Revision(tick.min(20) * 10);
            if let Some(until) = due.look(revision, at(tick * 10)) {
                forgotten.push((tick, until.0));
            }
            let Due::Age(samples) = &due else {
                panic!("another kind");
            };
            assert!(samples.list.len() <= 11);
        }
        // What was the last revision a hundred seconds ago can be read, what was before cannot.
        assert_eq!(forgotten.first(), Some(&(11, 10)));
        assert_eq!(forgotten.last(), Some(&(30, 200)));
        assert_eq!(forgotten.len(), 20);
        assert!(due.is_idle());
    }

    #[test]
    fn of_revisions_the_last_ones_are_kept() {
        let mut due = Due::Revisions(100);
        let now = Instant::now();
        assert_eq!(due.look(Revision(99), now), None);
        assert_eq!(due.look(Revision(100), now), Some(Revision(0)));
        assert_eq!(due.look(Revision(150), now), Some(Revision(50)));
        assert!(due.is_idle());
    }
}

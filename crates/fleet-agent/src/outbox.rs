//! What is to be written to the store, until it is.
//!
//! The last value wins: what was overtaken is never written. Writing is the writer's affair.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet_store::UnitStatus;
use systemd_unit::UnitName;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::membership::Session;

/// So many states of one unit are written in [`WINDOW`]: a start is told as it goes, a unit that flaps is not.
const STATES_PER_WINDOW: u32 = 4;
/// How long a unit that changed so often has to wait.
const WINDOW: Duration = Duration::from_secs(1);
/// How much is written at once: each announcement has a condition and an operation of its own.
pub(crate) const BATCH: usize = 100;

/// Shared by whoever decides and the writer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    session: Option<Session>,
    is_begun: bool,
    announcements: BTreeMap<UnitName, Announcement>,
    withdrawals: BTreeMap<UnitName, u64>,
    /// None: to be deleted.
    states: BTreeMap<UnitName, Option<UnitStatus>>,
    written: BTreeMap<UnitName, Window>,
}

/// How often a unit's state was written since a time.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    count: u32,
}

/// That a unit is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Of its contents.
    pub(crate) hash: String,
    /// The target must not have been put since.
    pub(crate) target_revision: u64,
}

/// What is to be written now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) announcements: Vec<(UnitName, Announcement)>,
    /// With the revisions of what is withdrawn.
    pub(crate) withdrawals: Vec<(UnitName, u64)>,
    pub(crate) states: Vec<(UnitName, Option<UnitStatus>)>,
}

/// What a writer has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// Nothing, until something changes.
    Nothing,
    /// Nothing before this time.
    Later(Instant),
    /// A session began: see what an agent before this one left.
    Begin(Session),
    /// Write.
    Write(Session, Batch),
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.announcements.is_empty() && self.withdrawals.is_empty() && self.states.is_empty()
    }
}

impl Outbox {
    /// Begins a session, or ends it. What was not written in the last one is dropped: whoever decides knows
    /// what has to be said again.
    pub(crate) fn set_session(&self, session: Option<Session>) {
        *self.lock() = Pending {
            session,
            ..Pending::default()
        };
        self.changed.notify_one();
    }

    pub(crate) fn announce(&self, name: UnitName, announcement: Announcement) {
        self.lock().announcements.insert(name, announcement);
        self.changed.notify_one();
    }

    pub(crate) fn withdraw(&self, name: UnitName, revision: u64) {
        self.lock().withdrawals.insert(name, revision);
        self.changed.notify_one();
    }

    /// A unit's state; none if it has none any more.
    pub(crate) fn publish(&self, name: UnitName, state: Option<UnitStatus>) {
        self.lock().states.insert(name, state);
        self.changed.notify_one();
    }

    /// Takes out what is due.
    pub(crate) fn take(&self, now: Instant) -> Task {
        let mut pending = self.lock();
        let Some(session) = pending.session.clone() else {
            return Task::Nothing;
        };
        if !std::mem::replace(&mut pending.is_begun, true) {
            return Task::Begin(session);
        }
        let announcements = take_some(&mut pending.announcements);
        let withdrawals = take_some(&mut pending.withdrawals);
        let (states, next) = pending.take_states(now);
        let batch = Batch {
            announcements,
            withdrawals,
            states,
        };
        match next {
            _ if !batch.is_empty() => Task::Write(session, batch),
            Some(next) => Task::Later(next),
            None => Task::Nothing,
        }
    }

    /// Puts back what could not be written, unless it was overtaken.
    pub(crate) fn put_back(&self, session: &Session, batch: Batch) {
        let mut pending = self.lock();
        if pending.session.as_ref() != Some(session) {
            return;
        }
        for (name, announcement) in batch.announcements {
            pending.announcements.entry(name).or_insert(announcement);
        }
        for (name, revision) in batch.withdrawals {
            pending.withdrawals.entry(name).or_insert(revision);
        }
        for (name, state) in batch.states {
            pending.states.entry(name).or_insert(state);
        }
    }

    /// What a session begins with could not be done.
    pub(crate) fn begin_again(&self, session: &Session) {
        let mut pending = self.lock();
        if pending.session.as_ref() == Some(session) {
            pending.is_begun = false;
        }
    }

    /// Deletes the states of units that are not known here any more.
    pub(crate) fn delete_states_but_own(&self, session: &Session, names: Vec<UnitName>) {
        let mut pending = self.lock();
        if pending.session.as_ref() != Some(session) {
            return;
        }
        for name in names {
            if !pending.written.contains_key(&name) {
                pending.states.entry(name).or_insert(None);
            }
        }
    }

    /// Waits until something was put in.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// The states that may be written, and when the next one may.
    #[allow(clippy::type_complexity, reason = "a pair that only one caller sees")]
    fn take_states(
        &mut self,
        now: Instant,
    ) -> (Vec<(UnitName, Option<UnitStatus>)>, Option<Instant>) {
        let due_at = |name: &UnitName| self.written.get(name).and_then(Window::full_until);
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for name in self.states.keys() {
            match due_at(name) {
                Some(at) if at > now => next = Some(next.map_or(at, |next| next.min(at))),
                _ if due.len() < BATCH => due.push(name.clone()),
                _ => {}
            }
        }
        let mut taken = Vec::new();
        for name in due {
            if let Some(state) = self.states.remove(&name) {
                let window = self.written.get(&name).copied();
                self.written
                    .insert(name.clone(), Window::after(window, now));
                taken.push((name, state));
            }
        }
        (taken, next)
    }
}

impl Window {
    /// When the next write may be, if it may not be now.
    fn full_until(&self) -> Option<Instant> {
        (self.count >= STATES_PER_WINDOW).then_some(self.since + WINDOW)
    }

    /// With one more write.
    fn after(window: Option<Self>, now: Instant) -> Self {
        match window.filter(|window| window.since + WINDOW > now) {
            Some(Self { since, count }) => Self {
                since,
                count: count + 1,
            },
            None => Self {
                since: now,
                count: 1,
            },
        }
    }
}

fn take_some<T>(map: &mut BTreeMap<UnitName, T>) -> Vec<(UnitName, T)> {
    let mut taken = Vec::new();
    while taken.len() < BATCH
        && let Some(first) = map.pop_first()
    {
        taken.push(first);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_model::State;
    use fleet_store::LeaseId;

    fn name(text: &str) -> UnitName {
        UnitName::new(text).expect("a name")
    }

    fn state(sub: &str) -> UnitStatus {
        UnitStatus {
            hash: "a".to_owned(),
            reached: State::Launched,
            load: "loaded".to_owned(),
            active: "active".to_owned(),
            sub: sub.to_owned(),
            invocation: String::new(),
            problem: String::new(),
        }
    }

    fn session(lease: i64) -> Session {
        Session {
            lease: LeaseId(lease),
            alive_revision: 1,
            present: std::sync::Arc::default(),
        }
    }

    fn states(task: Task) -> Vec<(UnitName, Option<UnitStatus>)> {
        match task {
            Task::Write(_, batch) => batch.states,
            other => panic!("nothing to write: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_state_wins_and_a_unit_that_flaps_waits() {
        let outbox = Outbox::default();
        let now = Instant::now();
        let unit = || name("a.service");
        outbox.publish(unit(), Some(state("x")));
        assert_eq!(outbox.take(now), Task::Nothing, "there is no session");
        outbox.set_session(Some(session(1)));
        assert_eq!(outbox.take(now), Task::Begin(session(1)));
        for _ in 0..STATES_PER_WINDOW {
            for sub in ["start", "running"] {
                outbox.publish(unit(), Some(state(sub)));
            }
            assert_eq!(states(outbox.take(now)), [(unit(), Some(state("running")))]);
            assert_eq!(outbox.take(now), Task::Nothing);
        }
        let then = now + WINDOW;
        for sub in ["reload", "exited"] {
            outbox.publish(unit(), Some(state(sub)));
            assert_eq!(outbox.take(now), Task::Later(then));
        }
        assert_eq!(states(outbox.take(then)), [(unit(), Some(state("exited")))]);
        outbox.publish(unit(), None);
        assert_eq!(
            states(outbox.take(then)),
            [(unit(), None)],
            "another window"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn states_of_units_that_are_not_here_are_deleted() {
        let outbox = Outbox::default();
        let now = Instant::now();
        outbox.set_session(Some(session(1)));
        outbox.take(now);
        outbox.publish(name("a.service"), Some(state("running")));
        outbox.publish(name("b.service"), Some(state("running")));
        outbox.take(now);
        outbox.publish(name("c.service"), Some(state("running")));
        let found = ["a.service", "c.service", "old.service"].map(name);
        outbox.delete_states_but_own(&session(1), found.into());
        let expected = [
            (name("c.service"), Some(state("running"))),
            (name("old.service"), None),
        ];
        assert_eq!(states(outbox.take(now)), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_put_back_does_not_overtake() {
        let outbox = Outbox::default();
        let now = Instant::now();
        outbox.set_session(Some(session(1)));
        outbox.take(now);
        for unit in ["a.service", "b.service"] {
            outbox.publish(name(unit), Some(state("old")));
        }
        let Task::Write(session_1, batch) = outbox.take(now) else {
            panic!("nothing to write");
        };
        outbox.publish(name("a.service"), None);
        outbox.put_back(&session_1, batch.clone());
        let then = now + WINDOW;
        let expected = [
            (name("a.service"), None),
            (name("b.service"), Some(state("old"))),
        ];
        assert_eq!(states(outbox.take(then)), expected);
        outbox.set_session(Some(session(2)));
        outbox.take(then);
        outbox.put_back(&session_1, batch);
        assert_eq!(outbox.take(then), Task::Nothing, "of another session");
    }
}

//! How long leases still live: the leader's memory, and nobody else's.
//!
//! Keeping a lease alive writes nothing. So whoever begins to lead gives every lease its whole time
//! again, and only the leader may say that one has ended. What a lease holds is the store's affair.
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kv_model::command::LeaseTerm;
use kv_model::outcome::Outcome;
use kv_model::query::Lease;
use kv_model::{Command, LeaseEpoch, LeaseId, Reply};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// At most so many end with one command.
const TERMS_MAX: usize = 1000;

/// How long leases still live. Empty unless this member leads.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    state: Mutex<State>,
    /// Told when the first end may have become an earlier one.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The term in which this member leads.
    term: Option<u64>,
    /// Whether what was granted before it led is known too.
    is_complete: bool,
    alive: HashMap<LeaseId, Alive>,
    ends: BTreeSet<(Instant, LeaseId)>,
}

#[derive(Debug, Clone, Copy)]
struct Alive {
    epoch: LeaseEpoch,
    ttl_seconds: i64,
    end: Instant,
}

fn span(ttl_seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl_seconds).unwrap_or(0))
}

impl State {
    fn set(&mut self, id: LeaseId, alive: Alive) {
        if let Some(before) = self.alive.insert(id, alive) {
            self.ends.remove(&(before.end, id));
        }
        self.ends.insert((alive.end, id));
    }

    fn grant(&mut self, lease: Lease, now: Instant) {
        let Lease {
            id,
            epoch,
            ttl_seconds,
        } = lease;
        let end = now + span(ttl_seconds);
        let alive = Alive {
            epoch,
            ttl_seconds,
            end,
        };
        self.set(id, alive);
    }

    fn remove(&mut self, id: LeaseId) {
        if let Some(before) = self.alive.remove(&id) {
            self.ends.remove(&(before.end, id));
        }
    }
}

impl Leases {
    /// From now on grants are noted, if they were not in this term. True if what was granted before
    /// must be [taken over](Self::take_over).
    pub(crate) fn lead(&self, term: u64) -> bool {
        let mut state = self.state.lock();
        if state.term == Some(term) {
            return false;
        }
        *state = State::default();
        state.term = Some(term);
        true
    }

    /// Gives the store's leases their whole time.
    pub(crate) fn take_over(&self, leases: Vec<Lease>, now: Instant) {
        let mut state = self.state.lock();
        state.is_complete = state.term.is_some();
        for lease in leases {
            if !state.alive.contains_key(&lease.id) {
                state.grant(lease, now);
            }
        }
    }

    /// Another one leads, or nobody.
    pub(crate) fn rest(&self) {
        *self.state.lock() = State::default();
    }

    /// Whether this member knows all of them.
    pub(crate) fn is_kept(&self) -> bool {
        self.state.lock().is_complete
    }

    /// Looks at what a command did.
    pub(crate) fn note(&self, command: &Command, outcome: &Outcome, now: Instant) {
        match (command.essence(), outcome) {
            (Command::GrantLease { ttl_seconds, .. }, Ok(Reply::LeaseGranted(id, epoch))) => {
                let mut state = self.state.lock();
                if state.term.is_some() {
                    let (id, epoch, ttl_seconds) = (*id, *epoch, *ttl_seconds);
                    let lease = Lease {
                        id,
                        epoch,
                        ttl_seconds,
                    };
                    state.grant(lease, now);
                    self.changed.notify_one();
                }
            }
            (Command::RevokeLease { id }, Ok(_)) => self.state.lock().remove(*id),
            (Command::Expire { leases, .. }, Ok(_)) => {
                let mut state = self.state.lock();
                for term in leases {
                    let is_same = |alive: &Alive| alive.epoch == term.epoch;
                    if state.alive.get(&term.id).is_some_and(is_same) {
                        state.remove(term.id);
                    }
                }
            }
            _ => {}
        }
    }

    /// Gives a lease its whole time again, and says it; nothing if it has ended or never was.
    pub(crate) fn keep_alive(&self, id: LeaseId, now: Instant) -> Option<i64> {
        let mut state = self.state.lock();
        let alive = *state.alive.get(&id).filter(|alive| alive.end > now)?;
        let end = now + span(alive.ttl_seconds);
        state.set(id, Alive { end, ..alive });
        Some(alive.ttl_seconds)
    }

    /// How long a lease still lives.
    pub(crate) fn remaining(&self, id: LeaseId, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        let end = state.alive.get(&id)?.end;
        Some(end.saturating_duration_since(now))
    }

    /// Leases that have ended, the first ones first; not more than one command shall remove.
    pub(crate) fn ended(&self, now: Instant) -> Vec<LeaseTerm> {
        let state = self.state.lock();
        let ended = state.ends.iter().take_while(|(end, _)| *end <= now);
        let ended = ended.filter_map(|(_, id)| {
            let epoch = state.alive.get(id)?.epoch;
            Some(LeaseTerm { id: *id, epoch })
        });
        ended.take(TERMS_MAX).collect()
    }

    /// How long until the next one ends.
    pub(crate) fn until_next(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        let (end, _) = state.ends.first()?;
        Some(end.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(id: i64, epoch: u64, ttl_seconds: i64) -> Lease {
        Lease {
            id: LeaseId(id),
            epoch: LeaseEpoch(epoch),
            ttl_seconds,
        }
    }

    fn ids(terms: &[LeaseTerm]) -> Vec<i64> {
        terms.iter().map(|term| term.id.0).collect()
    }

    fn grant(leases: &Leases, id: i64, epoch: u64, ttl_seconds: i64, now: Instant) {
        let id = LeaseId(id);
        let command = Command::GrantLease { id, ttl_seconds };
        let outcome = Ok(Reply::LeaseGranted(id, LeaseEpoch(epoch)));
        leases.note(&command, &outcome, now);
    }

    const ONE: LeaseId = LeaseId(1);

    #[test]
    fn a_lease_lives_as_long_as_it_is_kept_alive() {
        let (leases, begin) = (Leases::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(leases.lead(3) && !leases.is_kept() && !leases.lead(3));
        leases.take_over(vec![lease(1, 5, 10), lease(2, 6, 20)], begin);
        assert!(leases.is_kept());
        assert_eq!(leases.until_next(begin), Some(Duration::from_secs(10)));
        assert_eq!(leases.keep_alive(ONE, at(9)), Some(10));
        assert_eq!(leases.remaining(ONE, at(18)), Some(Duration::from_secs(1)));
        assert_eq!(ids(&leases.ended(at(18))), [0; 0]);
        assert_eq!(ids(&leases.ended(at(20))), [1, 2]);
        // Its removal is on its way: it must not come to life again.
        assert_eq!(leases.keep_alive(ONE, at(20)), None);
    }

    #[test]
    fn who_begins_to_lead_gives_every_lease_its_whole_time() {
        let (leases, begin) = (Leases::default(), Instant::now());
        let later = begin + Duration::from_secs(8);
        leases.lead(3);
        leases.take_over(vec![lease(1, 5, 10)], begin);
        assert!(leases.lead(5));
        // Granted while the others were read.
        grant(&leases, 2, 9, 7, later);
        leases.take_over(vec![lease(1, 5, 10), lease(2, 9, 7)], later);
        assert_eq!(leases.remaining(ONE, later), Some(Duration::from_secs(10)));
        assert_eq!(leases.until_next(later), Some(Duration::from_secs(7)));
        leases.rest();
        grant(&leases, 3, 10, 7, later);
        assert_eq!(leases.until_next(later), None);
        assert_eq!(leases.keep_alive(ONE, later), None);
    }

    #[test]
    fn what_was_removed_is_forgotten_unless_it_was_granted_again() {
        let (leases, now) = (Leases::default(), Instant::now());
        leases.lead(1);
        grant(&leases, 1, 5, 10, now);
        let expire = |epoch| Command::Expire {
            now: kv_model::UnixNanoseconds(0),
            leases: vec![LeaseTerm {
                id: ONE,
                epoch: LeaseEpoch(epoch),
            }],
        };
        leases.note(&expire(4), &Ok(Reply::Expired(0)), now);
        assert!(leases.remaining(ONE, now).is_some());
        leases.note(&expire(5), &Ok(Reply::Expired(1)), now);
        assert!(leases.remaining(ONE, now).is_none());
        grant(&leases, 1, 8, 10, now);
        let revoke = Command::RevokeLease { id: ONE };
        leases.note(
            &revoke,
            &Ok(Reply::LeaseRevoked(kv_model::Revision(9))),
            now,
        );
        assert_eq!(leases.until_next(now), None);
    }
}

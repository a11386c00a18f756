//! Keys, leases and history, without any waiting.
//!
//! Leases end when somebody looks: [`Server::expire`] comes before everything else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Counts;
use crate::error::StoreError;
use crate::keys::Keys;
use crate::store::{Change, KeyValue, LeaseId, Range, Revision};
use crate::transaction::{Condition, OPERATIONS_MAX, Operation, Outcome, Transaction};

/// The state.
#[derive(Default)]
pub(super) struct Server {
    revision: Revision,
    pairs: BTreeMap<String, KeyValue>,
    history: VecDeque<Change>,
    /// Changes up to this one are forgotten.
    compacted: Revision,
    leases: BTreeMap<LeaseId, LeaseState>,
    last_lease: i64,
    pub(super) counts: Counts,
}

struct LeaseState {
    ttl: Duration,
    expires: Instant,
    keys: BTreeSet<String>,
}

/// What a watch is given.
pub(super) enum Seen {
    /// Nothing new.
    Nothing,
    /// These, up to the present.
    Changes(Vec<Change>),
    /// Some that it would need are forgotten.
    Compacted,
}

impl Server {
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn range(&mut self, keys: &Keys) -> Range {
        let from = self.pairs.range(keys.start().to_owned()..);
        let pairs = from
            .map(|(_, pair)| pair)
            .skip_while(|pair| !keys.contains(&pair.key))
            .take_while(|pair| keys.contains(&pair.key));
        Range {
            revision: self.revision,
            pairs: pairs.cloned().collect(),
        }
    }

    pub(super) fn transact(&mut self, transaction: &Transaction) -> Result<Outcome, StoreError> {
        self.counts.transactions += 1;
        let size = transaction
            .conditions
            .len()
            .max(transaction.operations.len());
        if size > OPERATIONS_MAX {
            return Err(StoreError::Refused(format!("too many operations: {size}")));
        }
        if !transaction.conditions.iter().all(|one| self.holds(one)) {
            return Ok(Outcome::ConditionFailed(self.revision));
        }
        let mut leases = transaction.operations.iter().filter_map(|one| match one {
            Operation::Put { lease, .. } => *lease,
            _ => None,
        });
        if leases.any(|lease| !self.leases.contains_key(&lease)) {
            return Err(StoreError::LeaseGone);
        }
        let next = self.revision + 1;
        for operation in &transaction.operations {
            self.carry_out(operation, next);
        }
        Ok(Outcome::Committed(self.revision))
    }

    fn holds(&self, condition: &Condition) -> bool {
        let found = self.pairs.get(condition.key());
        match condition {
            Condition::Absent(_) => found.is_none(),
            Condition::Exists(_) => found.is_some(),
            Condition::CreatedAt(_, at) => found.is_some_and(|pair| pair.create_revision == *at),
            Condition::ModifiedAt(_, at) => found.is_some_and(|pair| pair.mod_revision == *at),
        }
    }

    /// The revision advances only if something changes.
    fn carry_out(&mut self, operation: &Operation, next: Revision) {
        match operation {
            Operation::Put { key, value, lease } => self.put(key, value, *lease, next),
            Operation::Delete(key) => self.delete(key, next),
            Operation::DeletePrefix(prefix) => {
                let keys = self.range(&Keys::Prefix(prefix.clone()));
                for pair in keys.pairs {
                    self.delete(&pair.key, next);
                }
            }
        }
    }

    fn put(&mut self, key: &str, value: &[u8], lease: Option<LeaseId>, next: Revision) {
        let old = self.pairs.get(key);
        let create_revision = old.map_or(next, |pair| pair.create_revision);
        if let Some(old) = old.and_then(|pair| pair.lease)
            && let Some(state) = self.leases.get_mut(&old)
        {
            state.keys.remove(key);
        }
        if let Some(state) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
            state.keys.insert(key.to_owned());
        }
        let pair = KeyValue {
            key: key.to_owned(),
            value: value.to_vec(),
            create_revision,
            mod_revision: next,
            lease,
        };
        self.pairs.insert(key.to_owned(), pair.clone());
        self.history.push_back(Change::Put(pair));
        self.revision = next;
    }

    fn delete(&mut self, key: &str, next: Revision) {
        let Some(old) = self.pairs.remove(key) else {
            return;
        };
        if let Some(state) = old.lease.and_then(|lease| self.leases.get_mut(&lease)) {
            state.keys.remove(key);
        }
        self.history.push_back(Change::Deleted {
            key: key.to_owned(),
            revision: next,
        });
        self.revision = next;
    }

    pub(super) fn grant(&mut self, ttl: Duration) -> LeaseId {
        self.last_lease += 1;
        let id = LeaseId(self.last_lease);
        let state = LeaseState {
            ttl,
            expires: Instant::now() + ttl,
            keys: BTreeSet::new(),
        };
        self.leases.insert(id, state);
        id
    }

    /// Gives a lease its whole time again; nothing if it has ended.
    pub(super) fn keep_alive(&mut self, id: LeaseId) -> Option<Duration> {
        self.counts.keep_alives += 1;
        let state = self.leases.get_mut(&id)?;
        state.expires = Instant::now() + state.ttl;
        Some(state.ttl)
    }

    /// All keys of a lease go at one revision.
    pub(super) fn end_lease(&mut self, id: LeaseId) {
        let Some(state) = self.leases.remove(&id) else {
            return;
        };
        let next = self.revision + 1;
        for key in state.keys {
            self.delete(&key, next);
        }
    }

    /// Ends leases whose time is over.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        let over = self.leases.iter().filter(|(_, state)| state.expires <= now);
        let over: Vec<LeaseId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.end_lease(id);
        }
    }

    /// When the next lease ends, if it is not kept alive.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.leases.values().map(|state| state.expires).min()
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
    }

    /// The changes from a revision on.
    pub(super) fn since(&self, keys: &Keys, from: Revision) -> Seen {
        if from <= self.compacted {
            return Seen::Compacted;
        }
        let start = self
            .history
            .partition_point(|change| change.revision() < from);
        let new = self.history.range(start..);
        let new: Vec<Change> = new
            .filter(|change| keys.contains(change.key()))
            .cloned()
            .collect();
        if new.is_empty() {
            return Seen::Nothing;
        }
        Seen::Changes(new)
    }
}

//! Writes to the store: which units are here, and how they are.
//!
//! What fails is tried again until it is done or overtaken. Whether a unit may be here is not decided here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleet_model::MachineId;
use fleet_store::{
    Condition, Key, Keys, Layout, Operation, Outcome, Presence, Revision, Store, StoreError,
    Transaction, UnitStatus, Value as _,
};
use systemd_unit::UnitName;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use crate::membership::Session;
use crate::outbox::{Announcement, Batch, Outbox, Task};

/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// What a writer needs.
pub(crate) struct Writer<T> {
    pub(crate) store: T,
    pub(crate) layout: Layout,
    pub(crate) machine: MachineId,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
    /// Told if another agent may have taken this one's place.
    pub(crate) suspicion: Arc<Notify>,
    /// The states that are in the store, with their revisions: each is written only in place of the last one,
    /// so that none of which nobody knew whether it was written comes late.
    pub(crate) states: BTreeMap<UnitName, Revision>,
}

/// What became of what was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// In which session.
    pub(crate) session: Session,
    /// Which unit.
    pub(crate) name: UnitName,
    /// What.
    pub(crate) result: WriteResult,
}

/// What became of an announcement or a withdrawal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteResult {
    /// The store knows that the unit is here.
    Announced {
        /// With these contents.
        hash: String,
        /// Since then.
        revision: u64,
    },
    /// The target is not what it was any more.
    Refused {
        /// When it was last put, as far as we knew.
        target_revision: u64,
    },
    /// The store knows that the unit is not here.
    Withdrawn,
}

impl<T: Store> Writer<T> {
    /// For ever.
    pub(crate) async fn run(mut self) {
        loop {
            let result = match self.outbox.take(Instant::now()) {
                Task::Nothing => {
                    self.outbox.changed().await;
                    Ok(())
                }
                Task::Later(when) => {
                    tokio::select! {
                        () = self.outbox.changed() => {}
                        () = sleep_until(when) => {}
                    }
                    Ok(())
                }
                Task::Begin(session) => self.begin(&session).await,
                Task::Write(session, batch) => self.write(&session, batch).await,
            };
            if let Err(error) = result {
                tracing::debug!("written later: {error}");
                sleep(RETRY).await;
            }
        }
    }

    /// Deletes what an agent before this one left under the same lease.
    async fn begin(&mut self, session: &Session) -> Result<(), StoreError> {
        let read = self.read_states().await;
        read.inspect_err(|_| self.outbox.begin_again(session))?;
        let names = self.states.keys().cloned().collect();
        self.outbox.delete_states_but_own(session, names);
        Ok(())
    }

    async fn read_states(&mut self) -> Result<(), StoreError> {
        let range = self
            .store
            .range(self.layout.states_of(&self.machine))
            .await?;
        let pairs = range.pairs.iter();
        let states = pairs.filter_map(|pair| match self.layout.parse(&pair.key)? {
            Key::State(_, name) => Some((name, pair.mod_revision)),
            _ => None,
        });
        self.states = states.collect();
        Ok(())
    }

    /// Writes all of it; what is left after an error is put back.
    async fn write(&mut self, session: &Session, mut batch: Batch) -> Result<(), StoreError> {
        let result = self.write_all(session, &mut batch).await;
        if result.is_err() {
            self.outbox.put_back(session, batch);
        }
        result
    }

    async fn write_all(&mut self, session: &Session, batch: &mut Batch) -> Result<(), StoreError> {
        self.announce_all(session, &batch.announcements).await?;
        batch.announcements.clear();
        while let Some((name, revision)) = batch.withdrawals.last() {
            self.withdraw(session, name, *revision).await?;
            batch.withdrawals.pop();
        }
        while !self.publish(session, &batch.states).await? {
            self.read_states().await?;
        }
        batch.states.clear();
        Ok(())
    }

    /// All in one transaction, and if that fails each by itself.
    async fn announce_all(
        &self,
        session: &Session,
        all: &[(UnitName, Announcement)],
    ) -> Result<(), StoreError> {
        if all.is_empty() || self.announce(session, all).await? {
            return Ok(());
        }
        for one in all {
            if all.len() > 1 && self.announce(session, std::slice::from_ref(one)).await? {
                continue;
            }
            let (name, announcement) = one;
            let target_revision = announcement.target_revision;
            self.report(session, name, WriteResult::Refused { target_revision });
            self.suspicion.notify_one();
        }
        Ok(())
    }

    /// Whether it was done.
    async fn announce(
        &self,
        session: &Session,
        all: &[(UnitName, Announcement)],
    ) -> Result<bool, StoreError> {
        let alive = self.layout.alive(&self.machine);
        let mut transaction = Transaction {
            conditions: vec![Condition::ModifiedAt(alive, session.alive_revision)],
            operations: Vec::new(),
        };
        for (name, announcement) in all {
            let target = self.layout.target(&self.machine, name);
            let condition = Condition::ModifiedAt(target, announcement.target_revision);
            transaction.conditions.push(condition);
            let hash = announcement.hash.clone();
            let key = self.layout.present(&self.machine, name);
            let operation = Operation::put(key, Presence { hash }.to_bytes());
            transaction.operations.push(operation);
        }
        let Outcome::Committed(revision) = self.store.transact(transaction).await? else {
            return Ok(false);
        };
        for (name, announcement) in all {
            let hash = announcement.hash.clone();
            self.report(session, name, WriteResult::Announced { hash, revision });
        }
        Ok(true)
    }

    /// Only what was announced then: a later announcement is not undone by a withdrawal that comes late.
    async fn withdraw(
        &self,
        session: &Session,
        name: &UnitName,
        mut revision: u64,
    ) -> Result<(), StoreError> {
        let key = self.layout.present(&self.machine, name);
        loop {
            let condition = Condition::ModifiedAt(key.clone(), revision);
            let transaction = Transaction::new(condition, Operation::Delete(key.clone()));
            let outcome = self.store.transact(transaction).await?;
            let found = match outcome {
                Outcome::Committed(_) => None,
                Outcome::ConditionFailed(_) => {
                    let range = self.store.range(Keys::One(key.clone())).await?;
                    range.pairs.into_iter().next()
                }
            };
            match found {
                None => break,
                Some(pair) => revision = pair.mod_revision,
            }
        }
        self.report(session, name, WriteResult::Withdrawn);
        Ok(())
    }

    /// Whether it was done: not if the store has other states than we know of.
    async fn publish(
        &mut self,
        session: &Session,
        states: &[(UnitName, Option<UnitStatus>)],
    ) -> Result<bool, StoreError> {
        let mut transaction = Transaction::default();
        for (name, state) in states {
            let key = self.layout.state(&self.machine, name);
            let known = self.states.get(name);
            let operation = match (state, known) {
                (Some(state), _) => {
                    Operation::put_leased(key.clone(), state.to_bytes(), session.lease)
                }
                (None, Some(_)) => Operation::Delete(key.clone()),
                (None, None) => continue,
            };
            transaction.operations.push(operation);
            transaction.conditions.push(match known {
                Some(revision) => Condition::ModifiedAt(key, *revision),
                None => Condition::Absent(key),
            });
        }
        if transaction.operations.is_empty() {
            return Ok(true);
        }
        let Outcome::Committed(revision) = self.store.transact(transaction).await? else {
            return Ok(false);
        };
        for (name, state) in states {
            match state {
                Some(_) => self.states.insert(name.clone(), revision),
                None => self.states.remove(name),
            };
        }
        Ok(true)
    }

    fn report(&self, session: &Session, name: &UnitName, result: WriteResult) {
        let report = Report {
            session: session.clone(),
            name: name.clone(),
            result,
        };
        // Nobody listens any more at the end of the program.
        let _told = self.reports.send(report);
    }
}

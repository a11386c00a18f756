//! Registers the machine's containers with the store: what is announced in `/run` gets keys under the machine's lease,
//! and what is no more loses them.
//!
//! It compares, and keeps no history: neither a restart of the agent nor one of the store is seen in the keys, since
//! the store itself tells what it has of this machine (`announced/MACHINE/`), and equal is not written again. All keys of a
//! container change in one transaction, which fails if another agent has taken the machine's place.
//! Whether a container is ready and healthy is for its monitor to say; which keys there are, for `container-model`.

mod folders;
mod lives;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use container_model::name::Name;
use container_model::registration::{Announcement, Machine, Receipt, Settings, entries};
use fleet_model::MachineId;
use fleet_store::{
    Announced, Condition, Layout, LeaseId, MachineRecord, OPERATIONS_MAX, Operation, Outcome,
    Store, StoreError, Transaction, Value as _,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::membership::{Membership, Session};
pub(crate) use folders::Folders;
use lives::Lives;

/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// What it needs.
pub(crate) struct Announcer<T> {
    pub(crate) store: T,
    pub(crate) layout: Layout,
    pub(crate) machine: MachineId,
    pub(crate) host: String,
    pub(crate) settings: watch::Receiver<Settings>,
    pub(crate) folders: Folders,
    pub(crate) record: watch::Receiver<MachineRecord>,
    pub(crate) membership: watch::Receiver<Membership>,
    pub(crate) asked: mpsc::UnboundedReceiver<Ask>,
    /// Told when something failed as if another agent had taken the machine's place.
    pub(crate) suspicion: Arc<Notify>,
}

/// Somebody waits until the store has what is announced of a container, or no more of it.
#[derive(Debug)]
pub(crate) struct Ask {
    container: Name,
    answer: oneshot::Sender<Result<(), String>>,
}

/// Asks whether the store is in step with what is announced. Clones ask the same agent.
#[derive(Debug, Clone)]
pub struct Announcements(mpsc::UnboundedSender<Ask>);

/// What the store has of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    entries: BTreeMap<String, String>,
    lease: Option<LeaseId>,
}

/// What it works on.
struct Work {
    /// While the machine is registered.
    session: Option<Session>,
    /// What the store has, once it was asked in this session.
    stored: Option<BTreeMap<Name, Stored>>,
    lives: Lives,
    waiting: Vec<Ask>,
    problem: Option<StoreError>,
}

impl Announcements {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Waits until the store has all that is announced of a container now, which may be nothing.
    ///
    /// # Errors
    /// If it never will, with the reason.
    pub async fn settled(&self, container: Name) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let gone = "fleetd ends".to_owned();
        if self.0.send(Ask { container, answer }).is_err() {
            return Err(gone);
        }
        answered.await.unwrap_or(Err(gone))
    }
}

impl<T: Store> Announcer<T> {
    /// Keeps the store in step, for ever.
    pub(crate) async fn run(mut self) {
        let mut work = Work {
            session: None,
            stored: None,
            lives: Lives::default(),
            waiting: Vec::new(),
            problem: None,
        };
        loop {
            self.take_session(&mut work);
            while let Ok(ask) = self.asked.try_recv() {
                work.waiting.push(ask);
            }
            let address = self.record.borrow().primary_ip.clone();
            // From now on another value is a change.
            self.settings.mark_unchanged();
            let wanted = self.wanted(&mut work.lives);
            let done = self.write(&mut work, &wanted).await;
            let has_failed = done.is_err();
            tell(&mut work, done.err());
            self.answer(&mut work, &wanted);
            let session = work.session.as_ref().map(key);
            tokio::select! {
                Some(ask) = self.asked.recv() => work.waiting.push(ask),
                () = session_changed(&mut self.membership, session) => {}
                () = address_changed(&mut self.record, &address) => {}
                () = settings_changed(&mut self.settings) => {}
                () = work.lives.ended() => {}
                () = sleep(RETRY), if has_failed => {}
            }
        }
    }

    fn take_session(&self, work: &mut Work) {
        let session = self.membership.borrow().session.clone();
        if session.as_ref().map(key) == work.session.as_ref().map(key) {
            return;
        }
        work.session = session;
        work.stored = None;
        if work.session.is_none() {
            self.folders.doubt_receipts();
        }
    }

    /// What is announced by processes that live.
    fn wanted(&self, lives: &mut Lives) -> BTreeMap<Name, Announcement> {
        let mut wanted = self.folders.announced();
        wanted.retain(|_, one| lives.is_alive(one.process, one.process_started));
        keep_apart(&mut wanted);
        wanted
    }

    fn entries(&self, announcement: &Announcement) -> BTreeMap<String, String> {
        let machine = Machine {
            id: self.machine.as_str().to_owned(),
            host: self.host.clone(),
            address: self.record.borrow().primary_ip.parse().ok(),
        };
        entries(announcement, &machine, &self.settings.borrow())
    }

    /// Writes whatever the store does not have yet, and takes out what is announced no more.
    async fn write(
        &self,
        work: &mut Work,
        wanted: &BTreeMap<Name, Announcement>,
    ) -> Result<(), StoreError> {
        let Some(session) = work.session.clone() else {
            return Ok(());
        };
        let mut stored = match work.stored.take() {
            Some(stored) => stored,
            None => self.stored().await?,
        };
        let mut names: BTreeSet<Name> = stored.keys().chain(wanted.keys()).cloned().collect();
        names.extend(self.folders.receipts());
        // Whoever stops waits for it.
        let (lasting, leaving): (Vec<Name>, Vec<Name>) = names
            .into_iter()
            .partition(|name| wanted.contains_key(name));
        let mut done = Ok(());
        for name in leaving.into_iter().chain(lasting) {
            let entries = wanted.get(&name).map(|one| self.entries(one));
            let new = Stored {
                entries: entries.unwrap_or_default(),
                lease: Some(session.lease),
            };
            match self.change(&session, &name, stored.get(&name), &new).await {
                Ok(()) if new.entries.is_empty() => {
                    stored.remove(&name);
                }
                Ok(()) => {
                    stored.insert(name, new);
                }
                // What became of it is to be read, and so it is after every failure.
                Err(error) => {
                    if is_suspicious(&error) {
                        self.suspicion.notify_one();
                    }
                    done = Err(error);
                    if !matches!(done, Err(StoreError::Refused(_))) {
                        return done;
                    }
                }
            }
        }
        if done.is_ok() {
            work.stored = Some(stored);
        }
        done
    }

    /// What the store has of this machine.
    async fn stored(&self) -> Result<BTreeMap<Name, Stored>, StoreError> {
        let range = self
            .store
            .range(self.layout.announced_of(&self.machine))
            .await?;
        let mut found = BTreeMap::new();
        for pair in range.pairs {
            let name = pair
                .key
                .rsplit('/')
                .next()
                .and_then(|name| name.parse().ok());
            // One that cannot be read is written anew, or deleted.
            let entries = Announced::from_pair(&pair).unwrap_or_default().entries;
            let lease = pair.lease;
            if let Some(name) = name {
                found.insert(name, Stored { entries, lease });
            }
        }
        Ok(found)
    }

    /// Has the store have the one instead of the other.
    async fn change(
        &self,
        session: &Session,
        name: &Name,
        old: Option<&Stored>,
        new: &Stored,
    ) -> Result<(), StoreError> {
        let is_empty = new.entries.is_empty();
        let is_same = match old {
            None => is_empty,
            Some(old) => old == new,
        };
        let receipt = |confirmed| Receipt {
            confirmed,
            lease: session.lease.to_string(),
            entries: new.entries.clone(),
        };
        if !is_same {
            if !is_empty {
                self.folders.write_receipt(name, &receipt(false));
            }
            let index = self.layout.announced(&self.machine, name.as_str());
            let alive = self.layout.alive(&self.machine);
            let condition = Condition::ModifiedAt(alive, session.alive_revision);
            for operations in transactions(index, old, new) {
                self.transact(condition.clone(), operations).await?;
            }
        }
        if is_empty {
            self.folders.remove_receipt(name);
        } else {
            self.folders.write_receipt(name, &receipt(true));
        }
        Ok(())
    }

    async fn transact(
        &self,
        condition: Condition,
        operations: Vec<Operation>,
    ) -> Result<(), StoreError> {
        let transaction = Transaction {
            conditions: vec![condition],
            operations,
        };
        match self.store.transact(transaction).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::ConditionFailed(_) => Err(StoreError::Refused(DISPLACED.to_owned())),
        }
    }

    /// Answers those whose container is as it is announced, or never will be.
    fn answer(&self, work: &mut Work, wanted: &BTreeMap<Name, Announcement>) {
        let waiting = std::mem::take(&mut work.waiting);
        for ask in waiting {
            let answer = match wanted.get(&ask.container) {
                None => self.withdrawn(work, &ask.container),
                Some(announcement) => self.registered(work, &ask.container, announcement),
            };
            match answer {
                // Nobody waits for it if that fails.
                Some(answer) => drop(ask.answer.send(answer)),
                None if ask.answer.is_closed() => {}
                None => work.waiting.push(ask),
            }
        }
    }

    fn withdrawn(&self, work: &Work, name: &Name) -> Option<Result<(), String>> {
        let is_out = match &work.stored {
            Some(stored) => !stored.contains_key(name),
            // The store cannot be asked; it never was told, either.
            None => !self.folders.has_receipt(name),
        };
        is_out.then_some(Ok(()))
    }

    fn registered(
        &self,
        work: &Work,
        name: &Name,
        announcement: &Announcement,
    ) -> Option<Result<(), String>> {
        if self.settings.borrow().layouts.is_empty() {
            let path = container_model::registration::SETTINGS;
            return Some(Err(format!("{path} has no layouts")));
        }
        let entries = self.entries(announcement);
        if entries.is_empty() {
            let why = "the machine has no address: set public-ip in fleetd's settings";
            return Some(Err(why.to_owned()));
        }
        let stored = work.stored.as_ref().and_then(|stored| stored.get(name));
        if stored.is_some_and(|stored| stored.entries == entries) {
            return Some(Ok(()));
        }
        match &work.problem {
            Some(error @ StoreError::Refused(why)) if why != DISPLACED => {
                Some(Err(error.to_string()))
            }
            _ => None,
        }
    }
}

/// Containers whose name is another's are told apart by what their announcement is called: each has keys of its own.
fn keep_apart(wanted: &mut BTreeMap<Name, Announcement>) {
    let mut count: BTreeMap<Name, usize> = BTreeMap::new();
    for one in wanted.values() {
        *count.entry(one.container.clone()).or_default() += 1;
    }
    for (own, one) in wanted {
        if count.get(&one.container).is_some_and(|count| *count > 1) {
            one.container = own.clone();
        }
    }
}

/// Why a transaction of a displaced agent is refused.
const DISPLACED: &str = "another agent has taken this machine's place";

/// Whether an error tells that another agent may be in this one's place.
fn is_suspicious(error: &StoreError) -> bool {
    match error {
        StoreError::LeaseGone => true,
        StoreError::Refused(why) => why == DISPLACED,
        StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_) => false,
    }
}

/// A session is another one if either changes.
fn key(session: &Session) -> (LeaseId, u64) {
    (session.lease, session.alive_revision)
}

/// Neither ends before the agent does.
async fn session_changed(
    membership: &mut watch::Receiver<Membership>,
    session: Option<(LeaseId, u64)>,
) {
    let changed = membership.wait_for(|now| now.session.as_ref().map(key) != session);
    if changed.await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn settings_changed(settings: &mut watch::Receiver<Settings>) {
    if settings.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn address_changed(record: &mut watch::Receiver<MachineRecord>, address: &str) {
    let changed = record.wait_for(|now| now.primary_ip != address);
    if changed.await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn tell(work: &mut Work, problem: Option<StoreError>) {
    if work.problem != problem {
        if let Some(error) = &problem {
            tracing::warn!("containers are not registered as they should be: {error}");
        } else {
            tracing::info!("containers are registered as they should be");
        }
    }
    work.problem = problem;
}

/// One transaction; two, if there is more to be taken out than fits beside what is put in.
fn transactions(index: String, old: Option<&Stored>, new: &Stored) -> Vec<Vec<Operation>> {
    let none = BTreeMap::new();
    let before = old.map_or(&none, |old| &old.entries);
    let deleted = before.keys().filter(|key| !new.entries.contains_key(*key));
    let mut operations: Vec<Operation> = deleted.cloned().map(Operation::Delete).collect();
    let mut puts = Vec::new();
    let put = |key: &String, value: Vec<u8>| Operation::Put {
        key: key.clone(),
        value,
        lease: new.lease,
    };
    let has_lease = old.is_some_and(|old| old.lease == new.lease);
    for (key, value) in &new.entries {
        if !has_lease || before.get(key) != Some(value) {
            puts.push(put(key, value.clone().into_bytes()));
        }
    }
    if new.entries.is_empty() {
        operations.push(Operation::Delete(index));
    } else {
        let entries = new.entries.clone();
        puts.push(put(&index, Announced { entries }.to_bytes()));
    }
    if operations.len() + puts.len() > OPERATIONS_MAX {
        return vec![operations, puts];
    }
    operations.extend(puts);
    vec![operations]
}

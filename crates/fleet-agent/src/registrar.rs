//! Registers the machine with the store, and holds its lease.
//!
//! A lease of an agent that ran before is taken over: neither an upgrade nor a quick boot is seen by anybody.
//! Nothing is known of units here, but what the store has of this machine when a session begins.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use fleet_model::MachineId;
use fleet_store::{
    Alive, Condition, Key, KeyValue, Keys, Layout, Lease, LeaseLost, LeaseRecord, MachineRecord,
    Operation, Outcome, Presence, Store, StoreError, Transaction, Value as _,
};
use systemd_unit::UnitName;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::fence::margin;
use crate::lease_memory::{Deadline, HeldLease, LeaseMemory};
use crate::membership::{Membership, Registration, Session};

/// After a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often, in a lease's life, its deadline is looked at, and a double's end waited for.
const LOOKS: u32 = 6;

/// What a registrar needs.
pub(crate) struct Registrar<T> {
    pub(crate) store: T,
    pub(crate) layout: Layout,
    pub(crate) machine: MachineId,
    pub(crate) boot_id: String,
    pub(crate) ttl: Duration,
    pub(crate) memory: LeaseMemory,
    /// What the machine says of itself, without its lease.
    pub(crate) record: watch::Receiver<MachineRecord>,
    pub(crate) membership: watch::Sender<Membership>,
    /// Told when something failed as if another agent had taken the machine's place.
    pub(crate) suspicion: Arc<Notify>,
}

/// What the store has of the machine itself.
#[derive(Default)]
struct Entry {
    alive: Option<KeyValue>,
    record: Option<MachineRecord>,
}

/// Why a registration did not come about.
enum Failure {
    Store(StoreError),
    /// The lease file cannot be written.
    Disk(std::io::Error),
    /// The key says so.
    Double(KeyValue),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<T: Store> Registrar<T> {
    /// Registers whenever the machine is not registered, until the agent goes away.
    pub(crate) async fn run(mut self) {
        let mut double_since = None;
        loop {
            let is_over = match self.register().await {
                Ok((lease, session)) => {
                    double_since = None;
                    self.hold(lease, session).await.is_break()
                }
                Err(failure) => {
                    let wait = self.report(failure, &mut double_since);
                    tokio::select! {
                        () = sleep(wait) => false,
                        changed = self.record.changed() => changed.is_err(),
                    }
                }
            };
            if is_over {
                return;
            }
        }
    }

    async fn register(&mut self) -> Result<(T::Lease, Session), Failure> {
        let held = self.memory.lease();
        let lease = self.lease(held.as_ref()).await?;
        let entry = self.entry().await?;
        let was_here = held.is_some_and(|held| held.boot_id == self.boot_id);
        if let Some(pair) = entry
            .alive
            .as_ref()
            .filter(|pair| self.is_of_another(pair, &lease, was_here))
        {
            if pair.lease != Some(lease.id()) {
                self.give_back(&lease).await;
            }
            return Err(Failure::Double(pair.clone()));
        }
        let revision = self.enter(&lease, entry).await?;
        if !was_here {
            self.note(&lease).await?;
        }
        let session = self.session(&lease, revision).await?;
        Ok((lease, session))
    }

    /// Whether a machine that is alive is not this one. A lease that this machine had before its boot is its
    /// own; if it was registered in this boot already and finds another boot there, its disk was copied.
    fn is_of_another(&self, pair: &KeyValue, lease: &T::Lease, was_here: bool) -> bool {
        let is_own_boot = pair.value == self.alive().to_bytes();
        pair.lease != Some(lease.id()) || (was_here && !is_own_boot)
    }

    fn alive(&self) -> Alive {
        Alive {
            boot_id: self.boot_id.clone(),
        }
    }

    /// Writes what is not written yet; the revision at which the machine came alive.
    async fn enter(&mut self, lease: &T::Lease, entry: Entry) -> Result<u64, Failure> {
        let key = self.layout.alive(&self.machine);
        let alive = self.alive().to_bytes();
        let condition = match &entry.alive {
            Some(pair) => Condition::ModifiedAt(key.clone(), pair.mod_revision),
            None => Condition::Absent(key.clone()),
        };
        let before = entry.alive.filter(|pair| pair.value == alive);
        let mut operations = Vec::new();
        if before.is_none() {
            operations.push(Operation::put_leased(key, alive, lease.id()));
        }
        let record = self.own_record(lease);
        if entry.record.as_ref() != Some(&record) {
            let key = self.layout.record(&self.machine);
            operations.push(Operation::put(key, record.to_bytes()));
        }
        let before = before.map(|pair| pair.mod_revision);
        if let (Some(revision), true) = (before, operations.is_empty()) {
            return Ok(revision);
        }
        let transaction = Transaction {
            conditions: vec![condition],
            operations,
        };
        match self.store.transact(transaction).await? {
            Outcome::Committed(revision) => Ok(before.unwrap_or(revision)),
            Outcome::ConditionFailed(_) => {
                let why = "another agent registered this machine at the same time".to_owned();
                Err(StoreError::Refused(why).into())
            }
        }
    }

    /// The lease of the agent that ran before, or a new one.
    async fn lease(&self, held: Option<&HeldLease>) -> Result<T::Lease, Failure> {
        if let Some(held) = held
            && let Some(lease) = self.store.take_over(held.lease_id()).await?
        {
            return Ok(lease);
        }
        let lease = self.store.grant(self.ttl).await?;
        // Before anything is written with it: otherwise nobody could take it over.
        if let Err(failure) = self.note(&lease).await {
            self.give_back(&lease).await;
            return Err(failure);
        }
        Ok(lease)
    }

    /// Remembers a lease, for the next agent.
    async fn note(&self, lease: &T::Lease) -> Result<(), Failure> {
        let held = HeldLease {
            id: lease.id().0,
            boot_id: self.boot_id.clone(),
        };
        let memory = self.memory.clone();
        let written = tokio::task::spawn_blocking(move || memory.set_lease(&held)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(Failure::Disk)
    }

    /// A lease that has no key yet.
    async fn give_back(&self, lease: &T::Lease) {
        if let Err(error) = self.store.revoke(lease.id()).await {
            tracing::debug!("an unused lease ends by itself: {error}");
        }
    }

    async fn entry(&self) -> Result<Entry, Failure> {
        let range = self.store.range(self.layout.machine(&self.machine)).await?;
        let mut entry = Entry::default();
        for pair in range.pairs {
            match self.layout.parse(&pair.key) {
                Some(Key::Alive(_)) => entry.alive = Some(pair),
                // One that cannot be read is written anew.
                Some(Key::Record(_)) => entry.record = MachineRecord::from_pair(&pair).ok(),
                _ => {}
            }
        }
        Ok(entry)
    }

    fn own_record(&mut self, lease: &T::Lease) -> MachineRecord {
        let mut record = self.record.borrow_and_update().clone();
        record.lease = Some(LeaseRecord {
            id: lease.id().0,
            ttl_seconds: lease.ttl().as_secs(),
        });
        record
    }

    async fn session(&self, lease: &T::Lease, alive_revision: u64) -> Result<Session, Failure> {
        let keys = self.layout.present_of(&self.machine);
        let present = presences(&self.layout, &self.store, keys).await?;
        Ok(Session {
            lease: lease.id(),
            alive_revision,
            present: Arc::new(present),
        })
    }

    /// Until the lease is lost, or the agent goes away and leaves it to the next one.
    async fn hold(&mut self, mut lease: T::Lease, session: Session) -> ControlFlow<()> {
        tracing::info!(lease = %lease.id(), "registered with the store");
        let revision = session.alive_revision;
        self.membership.send_replace(Membership {
            registration: Registration::Registered,
            session: Some(session),
            deadline: deadline(&lease),
        });
        loop {
            let next = self.look(&lease);
            tokio::select! {
                () = self.suspicion.notified() => {
                    if self.is_displaced(revision).await {
                        self.lose(&LeaseLost::Gone);
                        return ControlFlow::Continue(());
                    }
                }
                lost = lease.lost() => {
                    self.lose(&lost);
                    return ControlFlow::Continue(());
                }
                () = sleep_until(next) => {}
                changed = self.record.changed() => {
                    if changed.is_err() {
                        self.look(&lease);
                        return ControlFlow::Break(());
                    }
                    self.tell_record(&lease).await;
                }
            }
        }
    }

    /// Notes until when the lease certainly lives, and says when to look again.
    fn look(&self, lease: &T::Lease) -> Instant {
        let now = Instant::now();
        let often = now + lease.ttl() / LOOKS;
        let Some(deadline) = deadline(lease) else {
            return often; // it is lost, and says so at once
        };
        self.remember(deadline);
        self.membership
            .send_if_modified(|membership| membership.deadline.replace(deadline) != Some(deadline));
        // Just before the units that stop on partitions are stopped, so that no keep-alive is overlooked.
        let last_look = deadline.stop_at() - Duration::from_millis(20);
        if last_look > now {
            often.min(last_look)
        } else {
            often
        }
    }

    /// Whether another agent has put `alive` in this one's place. What cannot be asked is not believed.
    async fn is_displaced(&self, revision: u64) -> bool {
        let entry = self.entry().await;
        entry.is_ok_and(|entry| entry.alive.is_none_or(|pair| pair.mod_revision != revision))
    }

    fn lose(&self, lost: &LeaseLost) {
        tracing::warn!("not registered with the store any more: {lost}");
        self.membership.send_modify(|membership| {
            let problem = lost.to_string();
            membership.registration = Registration::Trying { problem };
            membership.session = None;
            if let (LeaseLost::Gone, Some(deadline)) = (lost, &mut membership.deadline) {
                deadline.at = Instant::now();
                self.remember(*deadline);
            }
        });
    }

    fn remember(&self, deadline: Deadline) {
        if let Err(error) = self.memory.set_deadline(deadline) {
            tracing::warn!("the lease's deadline cannot be written down: {error}");
        }
    }

    async fn tell_record(&mut self, lease: &T::Lease) {
        let record = self.own_record(lease);
        let alive = self.layout.alive(&self.machine);
        let key = self.layout.record(&self.machine);
        let operation = Operation::put(key, record.to_bytes());
        let transaction = Transaction::new(Condition::Exists(alive), operation);
        if let Err(error) = self.store.transact(transaction).await {
            tracing::warn!("the machine's record is not changed: {error}");
            // Tried again with the next registration, or the next change.
        }
    }

    /// Says what went wrong, and how long to wait.
    fn report(&self, failure: Failure, double_since: &mut Option<Instant>) -> Duration {
        let (registration, wait) = match failure {
            Failure::Store(error) => (trying(error.to_string()), RETRY),
            Failure::Disk(error) => (
                trying(format!("the lease cannot be written down: {error}")),
                RETRY,
            ),
            Failure::Double(pair) => {
                // A machine that was booted with an empty disk meets its own last life, which ends.
                let since = *double_since.get_or_insert_with(Instant::now);
                let is_sure = since.elapsed() > self.ttl + self.ttl / 2;
                (double(&pair, is_sure), self.ttl / LOOKS)
            }
        };
        if self.membership.borrow().registration != registration {
            tracing::warn!("not registered with the store: {registration:?}");
            self.membership
                .send_modify(|membership| membership.registration = registration);
        }
        wait
    }
}

/// Until when a lease certainly lives; nothing if it is lost.
fn deadline(lease: &impl Lease) -> Option<Deadline> {
    Some(Deadline {
        at: lease.deadline().ok()?,
        margin: margin(lease.ttl()),
    })
}

/// What the store knows to be present.
async fn presences<T: Store>(
    layout: &Layout,
    store: &T,
    keys: Keys,
) -> Result<BTreeMap<UnitName, (String, u64)>, StoreError> {
    let range = store.range(keys).await?;
    let mut found = BTreeMap::new();
    for pair in range.pairs {
        if let Some(Key::Present(_, name)) = layout.parse(&pair.key) {
            // One that cannot be read is there all the same.
            let hash = Presence::from_pair(&pair).map(|presence| presence.hash);
            found.insert(name, (hash.unwrap_or_default(), pair.mod_revision));
        }
    }
    Ok(found)
}

fn trying(problem: String) -> Registration {
    Registration::Trying { problem }
}

fn double(pair: &KeyValue, is_sure: bool) -> Registration {
    let alive = Alive::from_pair(pair);
    let boot_id = alive.map(|alive| alive.boot_id).unwrap_or_default();
    if is_sure {
        return Registration::Double { boot_id };
    }
    trying(format!(
        "a machine with this id is registered already, booted as {boot_id}"
    ))
}

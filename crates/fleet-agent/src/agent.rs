//! The agent as one thing: its tasks, started and ended together.
//!
//! What they do is told where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fleet_model::{MachineId, OnPartition};
use fleet_store::{
    Condition, Layout, MachineRecord, Operation, Store, StoreError, Transaction, Value as _,
};
use machine_facts::system_root::SystemRoot;
use systemd_unit::UnitName;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::announcer::{Announcements, Announcer, Folders};
use crate::cache_writer::{self, CacheOrder};
use crate::fence::{Condemned, Fence};
use crate::lease_memory::{Deadline, LeaseMemory, Uptime};
use crate::membership::{Membership, Registration};
use crate::outbox::Outbox;
use crate::reconciler::{Inputs, Outputs, Question, Reconciler};
use crate::registrar::Registrar;
use crate::systemd::Systemd;
use crate::target_cache::{CachedTarget, TargetCache};
use crate::targets::{TargetNews, TargetWatcher};
use crate::unit_directory::{HeldUnit, UnitDirectory};
use crate::writer::{Report, Writer};

/// How long the deadline of the lease may take to be written down at the end.
const LAST_NOTE: Duration = Duration::from_secs(1);
/// How often a machine that leaves looks whether its units have stopped.
const LOOK: Duration = Duration::from_millis(100);

/// What an agent needs to know.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The machine's identity.
    pub machine: MachineId,
    /// The kernel's identity of this boot.
    pub boot_id: String,
    /// What the machine says of itself; its lease is added.
    pub record: MachineRecord,
    /// The store's keys.
    pub layout: Layout,
    /// How long the machine's lease lives after a keep-alive: so long a lost machine is believed in.
    pub lease_ttl: Duration,
    /// How long after a boot the store is waited for before units are started from memory.
    pub boot_grace: Duration,
    /// How containers are registered.
    pub registration: crate::RegistrationSettings,
    /// The machine's file system.
    pub root: SystemRoot,
    /// The time since the boot.
    pub uptime: Uptime,
}

/// An agent that runs. Dropped, it ends at once, as if it were killed; no unit is touched by that.
#[derive(Debug)]
pub struct Agent<T> {
    store: T,
    layout: Layout,
    machine: MachineId,
    told: Told,
    membership: watch::Receiver<Membership>,
    questions: mpsc::UnboundedSender<Question>,
    announcements: Announcements,
    folders: Folders,
    registrar: JoinHandle<()>,
    tasks: JoinSet<()>,
}

/// What its tasks are told, and may be told anew.
#[derive(Debug)]
struct Told {
    record: watch::Sender<MachineRecord>,
    settings: watch::Sender<crate::RegistrationSettings>,
}

impl Told {
    fn new(configuration: &Configuration) -> Self {
        Self {
            record: watch::Sender::new(configuration.record.clone()),
            settings: watch::Sender::new(configuration.registration.clone()),
        }
    }
}

/// What the tasks of an agent tell each other by.
struct Wires {
    condemned: Condemned,
    outbox: Arc<Outbox>,
    suspicion: Arc<Notify>,
    membership: watch::Receiver<Membership>,
    /// When the machine counts as cut off if nothing is known of a lease.
    otherwise: Instant,
}

impl<T: Store> Agent<T> {
    /// Reads what an agent before it left, and begins.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start<S: Systemd>(configuration: Configuration, systemd: S, store: T) -> Self {
        let root = || configuration.root.clone();
        let memory = LeaseMemory::new(root(), configuration.uptime.clone());
        let (directory, cache) = (UnitDirectory::new(root()), TargetCache::new(root()));
        let (held, deadline) = (directory.read_all(), memory.deadline());
        // In a boot that had the store, what was wanted and is not here yet may be elsewhere by now.
        let cached = match deadline {
            Some(_) => BTreeMap::new(),
            None => cache.read_all(),
        };
        let (membership_sender, membership) = watch::channel(Membership::new(deadline));
        let told = Told::new(&configuration);
        let wires = Wires {
            condemned: Condemned::default(),
            outbox: Arc::new(Outbox::default()),
            suspicion: Arc::new(Notify::new()),
            membership: membership.clone(),
            otherwise: Instant::now() + grace(&configuration, deadline, &held),
        };
        let registrar = Registrar {
            store: store.clone(),
            layout: configuration.layout.clone(),
            machine: configuration.machine.clone(),
            boot_id: configuration.boot_id.clone(),
            ttl: configuration.lease_ttl,
            memory,
            record: told.record.subscribe(),
            membership: membership_sender,
            suspicion: Arc::clone(&wires.suspicion),
        };
        let (questions, asked) = mpsc::unbounded_channel();
        let found = Found { held, cached };
        let mut tasks = JoinSet::new();
        let systemd = Arc::new(systemd);
        tasks.spawn(fence(&systemd, &wires).run());
        let news = watch_targets(&configuration, &store, &found, &mut tasks);
        let reports = write(&configuration, &store, &wires, &mut tasks);
        let announcements = announce(&configuration, &store, &wires, &told, &mut tasks);
        let inputs = Inputs {
            membership: membership.clone(),
            news,
            reports,
            questions: asked,
        };
        let orders = remember(cache, directory.clone(), &mut tasks);
        let reconciler = Reconciler::new(
            systemd,
            directory,
            inputs,
            Outputs {
                outbox: wires.outbox,
                cache: orders,
                condemned: wires.condemned,
            },
            wires.otherwise,
        );
        tasks.spawn(reconciler.run(found.held, found.cached));
        Self {
            store,
            layout: configuration.layout,
            machine: configuration.machine,
            told,
            membership,
            questions,
            announcements,
            folders: Folders::new(root()),
            registrar: tokio::spawn(registrar.run()),
            tasks,
        }
    }

    /// How the machine stands with the store.
    pub fn registration(&self) -> Registration {
        self.membership.borrow().registration.clone()
    }

    /// Waits until that changes.
    pub async fn registration_changed(&mut self) -> Registration {
        let before = self.registration();
        let changed = self.membership.wait_for(|now| now.registration != before);
        let changed = changed.await.map(|now| now.registration.clone());
        match changed {
            Ok(registration) => registration,
            // The registrar ends with this value only.
            Err(_) => std::future::pending().await,
        }
    }

    /// To ask whether the store has what containers announce.
    pub fn announcements(&self) -> Announcements {
        self.announcements.clone()
    }

    /// What the machine says of itself from now on, without its lease.
    pub fn set_record(&self, record: MachineRecord) {
        self.told.record.send_if_modified(|current| {
            let is_new = *current != record;
            *current = record;
            is_new
        });
    }

    /// How containers are registered from now on; what is registered otherwise is changed.
    pub fn set_registration_settings(&self, settings: crate::RegistrationSettings) {
        self.told.settings.send_if_modified(|current| {
            let is_new = *current != settings;
            *current = settings;
            is_new
        });
    }

    /// Ends, and touches no unit. The lease lives on for the agent that comes next.
    pub async fn stop(mut self) {
        self.stop_tasks().await;
    }

    /// Leaves the store, if every unit stops within a time: for a machine that shuts down. Stopping them is
    /// systemd's affair. False if something still runs, or the store cannot be told; then the lease ends by
    /// itself.
    ///
    /// # Errors
    /// If the store cannot be told.
    pub async fn leave(mut self, patience: Duration) -> Result<bool, StoreError> {
        let is_still = timeout(patience, self.wait_still()).await.is_ok();
        let session = self.membership.borrow().session.clone();
        let mut record = self.told.record.borrow().clone();
        // Nothing starts any more from here on.
        self.stop_tasks().await;
        let Some(session) = session.filter(|_| is_still) else {
            return Ok(false);
        };
        record.lease = None;
        let alive = self.layout.alive(&self.machine);
        let present = self.layout.present_of(&self.machine);
        let condition = Condition::ModifiedAt(alive.clone(), session.alive_revision);
        let transaction = Transaction {
            conditions: vec![condition],
            operations: vec![
                Operation::Delete(alive),
                Operation::DeletePrefix(present.start().to_owned()),
                Operation::put(self.layout.record(&self.machine), record.to_bytes()),
            ],
        };
        let outcome = self.store.transact(transaction).await?;
        self.store.revoke(session.lease).await?;
        // Containers that stop now have nothing to wait for.
        self.folders.remove_receipts();
        Ok(outcome.is_committed())
    }

    async fn wait_still(&self) {
        while self.running().await.is_none_or(|units| !units.is_empty()) {
            sleep(LOOK).await;
        }
    }

    /// The units that are not stopped.
    async fn running(&self) -> Option<BTreeSet<UnitName>> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::Running(answer)).ok()?;
        answered.await.ok()
    }

    async fn stop_tasks(&mut self) {
        self.tasks.shutdown().await;
        // It notes how long the lease certainly lives once nobody can change the record any more.
        let (gone, _) = watch::channel(MachineRecord::default());
        drop(std::mem::replace(&mut self.told.record, gone));
        if timeout(LAST_NOTE, &mut self.registrar).await.is_err() {
            self.registrar.abort();
        }
    }
}

impl<T> Drop for Agent<T> {
    fn drop(&mut self) {
        self.registrar.abort();
    }
}

/// What an agent before this one left.
struct Found {
    held: BTreeMap<UnitName, HeldUnit>,
    cached: BTreeMap<UnitName, CachedTarget>,
}

/// How long nothing has to be known of a lease.
fn grace(
    configuration: &Configuration,
    deadline: Option<Deadline>,
    held: &BTreeMap<UnitName, HeldUnit>,
) -> Duration {
    let stops = |held: &HeldUnit| held.on_partition == OnPartition::Stop;
    if deadline.is_none() && held.values().any(stops) {
        // They may run under a lease that has ended.
        return Duration::ZERO;
    }
    configuration.boot_grace
}

fn fence<S>(systemd: &Arc<S>, wires: &Wires) -> Fence<S> {
    Fence {
        systemd: Arc::clone(systemd),
        units: wires.condemned.clone(),
        membership: wires.membership.clone(),
        otherwise: wires.otherwise,
    }
}

fn announce<T: Store>(
    configuration: &Configuration,
    store: &T,
    wires: &Wires,
    told: &Told,
    tasks: &mut JoinSet<()>,
) -> Announcements {
    let (announcements, asked) = Announcements::new();
    let host = configuration.root.read_word("/proc/sys/kernel/hostname");
    let announcer = Announcer {
        store: store.clone(),
        layout: configuration.layout.clone(),
        machine: configuration.machine.clone(),
        host: host.unwrap_or_else(|_| "localhost".to_owned()),
        settings: told.settings.subscribe(),
        folders: Folders::new(configuration.root.clone()),
        record: told.record.subscribe(),
        membership: wires.membership.clone(),
        asked,
        suspicion: Arc::clone(&wires.suspicion),
    };
    tasks.spawn(announcer.run());
    announcements
}

fn watch_targets<T: Store>(
    configuration: &Configuration,
    store: &T,
    found: &Found,
    tasks: &mut JoinSet<()>,
) -> mpsc::UnboundedReceiver<TargetNews> {
    let (sender, news) = mpsc::unbounded_channel();
    let cached = found.cached.iter();
    let cached = cached.map(|(name, cached)| (name.clone(), cached.target.hash.clone()));
    let held = found.held.iter();
    let held = held.map(|(name, held)| (name.clone(), held.hash.clone()));
    let watcher = TargetWatcher {
        store: store.clone(),
        layout: configuration.layout.clone(),
        machine: configuration.machine.clone(),
        known: held.chain(cached).collect(),
        news: sender,
    };
    tasks.spawn(watcher.run());
    news
}

fn write<T: Store>(
    configuration: &Configuration,
    store: &T,
    wires: &Wires,
    tasks: &mut JoinSet<()>,
) -> mpsc::UnboundedReceiver<Report> {
    let (sender, reports) = mpsc::unbounded_channel();
    let writer = Writer {
        store: store.clone(),
        layout: configuration.layout.clone(),
        machine: configuration.machine.clone(),
        outbox: Arc::clone(&wires.outbox),
        reports: sender,
        suspicion: Arc::clone(&wires.suspicion),
        states: BTreeMap::new(),
    };
    tasks.spawn(writer.run());
    reports
}

fn remember(
    cache: TargetCache,
    directory: UnitDirectory,
    tasks: &mut JoinSet<()>,
) -> mpsc::UnboundedSender<CacheOrder> {
    let (sender, orders) = mpsc::unbounded_channel();
    tasks.spawn(cache_writer::run(cache, directory, orders));
    sender
}

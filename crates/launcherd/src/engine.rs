//! What all requests share: records, systemd, and what changes.

use std::collections::HashMap;
use std::sync::Arc;

use engine_api::event::Event;
use engine_api::state::UnitState;
use engine_api::{ApiError, Record, State};
use image_store::store::Store;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, broadcast};

use crate::answer::{internal, of_store};
use crate::attachments::Attachments;
use crate::clock;
use crate::events::Events;
use crate::executions::Executions;
use crate::health::HealthBook;
use crate::processes;
use crate::records::{Records, unit_name};
use crate::systemd::Systemd;

/// Changes that a slow waiter may be behind with; it looks again then.
const CHANGES: usize = 256;

/// Something of a container changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Its unit did.
    Unit {
        /// The container's.
        id: String,
    },
    /// A run ended.
    Ended {
        /// The container's.
        id: String,
        /// The run's.
        code: u8,
    },
    /// It is gone.
    Removed {
        /// The container's.
        id: String,
    },
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) records: Records,
    pub(crate) systemd: Systemd,
    pub(crate) events: Events,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) health: HealthBook,
    pub(crate) attachments: Attachments,
    pub(crate) executions: Executions,
    /// One change of a container at a time.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    store: OnceCell<Store>,
}

impl Engine {
    pub(crate) async fn open() -> anyhow::Result<Self> {
        Ok(Self {
            records: Records::open()?,
            systemd: Systemd::connect().await?,
            events: Events::new(),
            changes: broadcast::channel(CHANGES).0,
            health: HealthBook::default(),
            attachments: Attachments::default(),
            executions: Executions::default(),
            locks: Mutex::new(HashMap::new()),
            store: OnceCell::new(),
        })
    }

    /// containerd, which its socket starts. The connection is made again by itself.
    pub(crate) async fn store(&self) -> Result<&Store, ApiError> {
        let store = self.store.get_or_try_init(Store::connect).await;
        store.map_err(of_store)
    }

    /// Tells of something that happened to what is no container.
    pub(crate) fn tell_of(&self, kind: &'static str, action: &str, id: &str, name: &str) {
        let event = Event::of(kind, action, id, clock::now());
        self.events.tell(event.with("name", name.to_owned()));
    }

    /// Waits until nobody else changes a container.
    pub(crate) async fn lock(&self, id: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = Arc::clone(self.locks.lock().entry(id.to_owned()).or_default());
        lock.lock_owned().await
    }

    /// Forgets the lock of a container that is gone.
    pub(crate) fn forget_lock(&self, id: &str) {
        self.locks.lock().remove(id);
    }

    /// A container's state now.
    pub(crate) async fn state(&self, record: &Record) -> Result<State, ApiError> {
        let unit = self.systemd.unit(&unit_name(&record.id)).await;
        let unit = unit.map_err(|error| internal(&error))?;
        Ok(self.state_of(record, &unit))
    }

    /// A container's state, when its unit's is known.
    pub(crate) fn state_of(&self, record: &Record, unit: &UnitState) -> State {
        let run = self.records.last_run(&record.id);
        let state = State::new(unit, run.as_ref(), payload(&record.id));
        let is_paused = state.is_running() && processes::is_frozen(record);
        state.with_paused(is_paused)
    }

    /// Tells of something that happened to a container.
    pub(crate) fn tell(&self, action: &str, record: &Record) {
        self.events
            .tell(Event::of_container(action, record, clock::now()));
    }
}

/// The first process of a container that runs, as the monitor's bundle has it.
pub(crate) fn payload(id: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/run/keelson/launch/{id}/pid")).ok()?;
    text.trim().parse().ok()
}

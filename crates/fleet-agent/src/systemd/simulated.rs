//! A systemd in memory, for tests: units start and stop as they are told to behave, in tokio's time.
//!
//! It looks whether a unit's file is there and not what is in it. It has no dependencies between units.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use machine_facts::system_root::SystemRoot;
use systemd_unit::UnitName;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{Systemd, SystemdError, SystemdEvent, UnitStatus};

/// Where unit files are.
const FOLDER: &str = "/run/systemd/system";

/// systemd, and what it runs. Clones are the same one.
#[derive(Debug, Clone)]
pub struct SimulatedSystemd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: SystemRoot,
    state: Mutex<State>,
    told: Notify,
}

#[derive(Debug, Default)]
struct State {
    units: BTreeMap<UnitName, SimulatedUnit>,
    behaviours: BTreeMap<UnitName, Behaviour>,
    watched: BTreeSet<UnitName>,
    events: VecDeque<SystemdEvent>,
    calls: Vec<String>,
    is_deaf: bool,
    invocations: u64,
}

#[derive(Debug, Default)]
struct SimulatedUnit {
    active: &'static str,
    sub: &'static str,
    invocation: u64,
    /// Counts what was begun with it: a timer of something that was overtaken does nothing.
    attempt: u64,
}

/// How a unit behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// How long it is starting.
    pub start: Duration,
    /// How long it is stopping; it never does by itself if none.
    pub stop: Option<Duration>,
    /// How long it runs until it ends by itself, if it does.
    pub run: Option<Duration>,
    /// Whether systemd refuses to start it.
    pub is_refused: bool,
}

impl Behaviour {
    /// Starts and stops at once, and runs for ever.
    pub const OBEDIENT: Self = Self {
        start: Duration::ZERO,
        stop: Some(Duration::ZERO),
        run: None,
        is_refused: false,
    };
}

impl SimulatedSystemd {
    /// One without units, on a machine with this file system.
    pub fn new(root: SystemRoot) -> Self {
        let state = State::default();
        Self {
            shared: Arc::new(Shared {
                root,
                state: Mutex::new(state),
                told: Notify::new(),
            }),
        }
    }

    /// How a unit behaves from its next start or stop on; [`Behaviour::OBEDIENT`] if nobody says.
    pub fn behave(&self, unit: &UnitName, behaviour: Behaviour) {
        self.lock().behaviours.insert(unit.clone(), behaviour);
    }

    /// A new connection: nobody heard what was told before.
    pub fn reconnect(&self) {
        self.disconnect();
        self.renew();
    }

    /// Whoever asks next has not connected yet.
    pub fn disconnect(&self) {
        let mut state = self.lock();
        state.watched.clear();
        state.events.clear();
    }

    /// The connection stands.
    pub fn renew(&self) {
        self.tell(SystemdEvent::Renewed);
    }

    /// Ends all that runs, and forgets it.
    pub fn reboot(&self) {
        let mut state = self.lock();
        state.units.clear();
        drop(state);
        self.reconnect();
    }

    /// From now on calls are not answered, or are again.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.lock().is_deaf = is_deaf;
        self.shared.told.notify_waiters();
    }

    /// Starts a unit for somebody else.
    pub fn start_by_itself(&self, unit: &UnitName) {
        self.enter(unit, "active", "running");
    }

    /// Has a unit's process die.
    pub fn die(&self, unit: &UnitName) {
        self.enter(unit, "failed", "failed");
    }

    /// Every call that changes something, such as `start hello.service`.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.lock().calls.clear();
    }

    /// Whether anything of a unit runs.
    pub fn is_running(&self, unit: &UnitName) -> bool {
        let state = self.lock();
        let found = state.units.get(unit);
        found.is_some_and(|unit| !["inactive", "failed", ""].contains(&unit.active))
    }

    /// Which run of a unit this is or was, counted over all units; 0 if it never ran.
    pub fn invocation(&self, unit: &UnitName) -> u64 {
        let state = self.lock();
        state.units.get(unit).map_or(0, |unit| unit.invocation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn has_file(&self, unit: &UnitName) -> bool {
        let path = self.shared.root.path(&format!("{FOLDER}/{unit}"));
        path.symlink_metadata().is_ok()
    }

    fn behaviour(&self, unit: &UnitName) -> Behaviour {
        let state = self.lock();
        state
            .behaviours
            .get(unit)
            .copied()
            .unwrap_or(Behaviour::OBEDIENT)
    }

    /// Waits until it listens; notes the call.
    async fn hear(&self, call: String) {
        loop {
            let told = self.shared.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if !self.lock().is_deaf {
                break;
            }
            told.await;
        }
        self.lock().calls.push(call);
    }

    fn tell(&self, event: SystemdEvent) {
        let mut state = self.lock();
        let is_heard = match &event {
            SystemdEvent::Changed { unit, .. } | SystemdEvent::JobEnded { unit, .. } => {
                state.watched.contains(unit)
            }
            SystemdEvent::Renewed => true,
        };
        if is_heard {
            state.events.push_back(event);
        }
        drop(state);
        self.shared.told.notify_waiters();
    }

    /// A unit is in another state; the number of this attempt.
    fn enter(&self, name: &UnitName, active: &'static str, sub: &'static str) -> u64 {
        let mut state = self.lock();
        let next = state.invocations + 1;
        let unit = state.units.entry(name.clone()).or_default();
        let was_stopped = ["inactive", "failed", ""].contains(&unit.active);
        let is_new = was_stopped && ["active", "activating"].contains(&active);
        if is_new {
            unit.invocation = next;
        }
        (unit.active, unit.sub) = (active, sub);
        unit.attempt += 1;
        let (attempt, invocation) = (unit.attempt, unit.invocation);
        if is_new {
            state.invocations = next;
        }
        drop(state);
        self.tell(SystemdEvent::Changed {
            unit: name.clone(),
            active: active.to_owned(),
            sub: sub.to_owned(),
            invocation: format!("{invocation:032x}"),
        });
        attempt
    }

    fn end_job(&self, unit: &UnitName, result: &str) {
        self.tell(SystemdEvent::JobEnded {
            unit: unit.clone(),
            result: result.to_owned(),
        });
    }

    fn is_current(&self, unit: &UnitName, attempt: u64) -> bool {
        let state = self.lock();
        state
            .units
            .get(unit)
            .is_some_and(|unit| unit.attempt == attempt)
    }

    /// After a while, unless something else was begun with the unit.
    fn later(
        &self,
        unit: &UnitName,
        attempt: u64,
        wait: Duration,
        act: impl FnOnce(&Self, &UnitName) + Send + 'static,
    ) {
        let (this, unit) = (self.clone(), unit.clone());
        if wait.is_zero() {
            return act(&this, &unit);
        }
        tokio::spawn(async move {
            sleep(wait).await;
            if this.is_current(&unit, attempt) {
                act(&this, &unit);
            }
        });
    }

    fn run(&self, unit: &UnitName, behaviour: Behaviour) {
        let attempt = self.enter(unit, "active", "running");
        self.end_job(unit, "done");
        if let Some(run) = behaviour.run {
            self.later(unit, attempt, run, |this, unit| {
                this.enter(unit, "inactive", "dead");
            });
        }
    }

    fn refuse(what: &str, message: &str) -> SystemdError {
        SystemdError::Refused {
            what: what.to_owned(),
            message: message.to_owned(),
        }
    }
}

impl Systemd for SimulatedSystemd {
    async fn statuses(&self, units: &[UnitName]) -> Result<Vec<UnitStatus>, SystemdError> {
        let status = |name: &UnitName| {
            let load = if self.has_file(name) {
                "loaded"
            } else {
                "not-found"
            };
            let state = self.lock();
            let unit = state.units.get(name).filter(|unit| !unit.active.is_empty());
            let (active, sub) = unit.map_or(("inactive", "dead"), |unit| (unit.active, unit.sub));
            let run = unit.filter(|unit| unit.active != "inactive");
            let invocation = run.map(|unit| format!("{:032x}", unit.invocation));
            UnitStatus {
                load: load.to_owned(),
                active: active.to_owned(),
                sub: sub.to_owned(),
                invocation: invocation.unwrap_or_default(),
            }
        };
        Ok(units.iter().map(status).collect())
    }

    async fn reload(&self) -> Result<(), SystemdError> {
        self.hear("reload".to_owned()).await;
        self.tell(SystemdEvent::Renewed);
        Ok(())
    }

    async fn start(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("start {unit}");
        self.hear(what.clone()).await;
        let behaviour = self.behaviour(unit);
        if behaviour.is_refused || !self.has_file(unit) {
            return Err(Self::refuse(&what, "Unit not found."));
        }
        if self.is_running(unit) {
            self.end_job(unit, "done");
            return Ok(());
        }
        let attempt = self.enter(unit, "activating", "start");
        self.later(unit, attempt, behaviour.start, move |this, unit| {
            this.run(unit, behaviour);
        });
        Ok(())
    }

    async fn stop(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("stop {unit}");
        self.hear(what.clone()).await;
        if !self.is_running(unit) {
            if !self.has_file(unit) {
                return Err(Self::refuse(&what, "Unit not loaded."));
            }
            self.end_job(unit, "done");
            return Ok(());
        }
        let attempt = self.enter(unit, "deactivating", "stop-sigterm");
        if let Some(stop) = self.behaviour(unit).stop {
            self.later(unit, attempt, stop, |this, unit| {
                this.enter(unit, "inactive", "dead");
                this.end_job(unit, "done");
            });
        }
        Ok(())
    }

    async fn kill(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("kill {unit}");
        self.hear(what.clone()).await;
        if !self.is_running(unit) {
            return Err(Self::refuse(&what, "No process to kill."));
        }
        self.enter(unit, "failed", "failed");
        self.end_job(unit, "done");
        Ok(())
    }

    async fn reset_failed(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.hear(format!("reset-failed {unit}")).await;
        self.enter(unit, "inactive", "dead");
        Ok(())
    }

    async fn enable(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.hear(format!("enable {unit}")).await;
        Ok(())
    }

    async fn disable(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.hear(format!("disable {unit}")).await;
        Ok(())
    }

    async fn search_path(&self) -> Result<Vec<PathBuf>, SystemdError> {
        Ok(vec![
            PathBuf::from(FOLDER),
            PathBuf::from("/usr/lib/systemd/system"),
        ])
    }

    fn watch(&self, units: &[UnitName]) {
        self.lock().watched.extend(units.iter().cloned());
    }

    fn forget(&self, unit: &UnitName) {
        self.lock().watched.remove(unit);
    }

    async fn next_event(&self) -> SystemdEvent {
        loop {
            let told = self.shared.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if let Some(event) = self.lock().events.pop_front() {
                return event;
            }
            told.await;
        }
    }
}

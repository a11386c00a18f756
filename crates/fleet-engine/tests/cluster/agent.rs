//! A simple agent: it obeys the store's protocol and takes its time.
//!
//! Its units are names in [`Ground`]. After any failure it forgets what it knew and reads anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use fleet_model::{MachineId, State};
use fleet_store::memory::{MemoryClient, MemoryLease};
use fleet_store::{
    Alive, Change, Condition, Keys, Layout, Lease, LeaseRecord, MachineRecord, Operation, Outcome,
    Presence, Revision, Store, StoreError, Target, Transaction, Value, Watch, WatchEvent,
};
use systemd_unit::UnitName;
use tokio::time::{sleep, timeout};

use crate::ground::Ground;

/// A machine's lease.
pub(crate) const TTL: Duration = Duration::from_secs(6);

pub(crate) struct Agent {
    pub(crate) id: MachineId,
    pub(crate) client: MemoryClient,
    pub(crate) ground: Arc<Mutex<Ground>>,
    pub(crate) record: MachineRecord,
    pub(crate) rng: Rng,
    pub(crate) layout: Layout,
}

/// What an agent knows while its lease lives.
struct Session {
    targets: BTreeMap<UnitName, (Target, Revision)>,
    present: BTreeMap<UnitName, (String, Revision)>,
}

/// The next thing to do.
enum Action {
    Stop(UnitName),
    Forget(UnitName),
    Take(UnitName),
}

/// Lives until it is aborted.
pub(crate) async fn run(mut agent: Agent) {
    loop {
        if let Ok(Some(lease)) = agent.register().await {
            // Whatever went wrong, it begins anew.
            let _ = agent.work(&lease).await;
        }
        agent.ground.lock().unwrap().node(&agent.id).lease = None;
        sleep(Duration::from_millis(200)).await;
    }
}

impl Agent {
    async fn register(&mut self) -> Result<Option<Arc<MemoryLease>>, StoreError> {
        let last = self.ground.lock().unwrap().node(&self.id).last_lease;
        let taken = match last {
            Some(id) => self.client.take_over(id).await?,
            None => None,
        };
        let lease = match taken {
            Some(lease) => lease,
            None => self.client.grant(TTL).await?,
        };
        self.ground.lock().unwrap().node(&self.id).last_lease = Some(lease.id());
        let key = self.layout.alive(&self.id);
        let found = self.client.range(Keys::One(key.clone())).await?;
        match found.pairs.first() {
            Some(pair) if pair.lease == Some(lease.id()) => {}
            Some(_) => return Ok(None), // an older one, which ends by itself
            None => {
                if !self.say_alive(key, &lease).await?.is_committed() {
                    return Ok(None);
                }
            }
        }
        let lease = Arc::new(lease);
        self.ground.lock().unwrap().node(&self.id).lease = Some(lease.clone());
        Ok(Some(lease))
    }

    async fn say_alive(&self, key: String, lease: &MemoryLease) -> Result<Outcome, StoreError> {
        // It was not alive: what runs may run elsewhere as well.
        self.ground.lock().unwrap().note_lost(&self.id);
        let alive = Alive {
            boot_id: "b".to_owned(),
        };
        let record = MachineRecord {
            lease: Some(LeaseRecord {
                id: lease.id().0,
                ttl_seconds: TTL.as_secs(),
            }),
            ..self.record.clone()
        };
        let transaction = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            operations: vec![
                Operation::put_leased(key, alive.to_bytes(), lease.id()),
                Operation::put(self.layout.record(&self.id), record.to_bytes()),
            ],
        };
        self.client.transact(transaction).await
    }

    async fn work(&mut self, lease: &MemoryLease) -> Result<(), StoreError> {
        let targets = self.client.range(self.layout.targets_of(&self.id)).await?;
        let present = self.client.range(self.layout.present_of(&self.id)).await?;
        let next = targets.revision + 1;
        let mut watch = self
            .client
            .watch(self.layout.targets_of(&self.id), next)
            .await?;
        let mut session = Session {
            targets: BTreeMap::new(),
            present: BTreeMap::new(),
        };
        for pair in targets.pairs {
            session.see(&self.layout, Change::Put(pair));
        }
        for pair in &present.pairs {
            let Some(fleet_store::Key::Present(_, name)) = self.layout.parse(&pair.key) else {
                continue;
            };
            let presence = Presence::from_pair(pair).expect("an agent wrote it");
            session
                .present
                .insert(name, (presence.hash, pair.mod_revision));
        }
        while lease.deadline().is_ok() {
            let action = self.next_action(&session);
            let patience = if action.is_some() { 0 } else { 300 };
            let patience = Duration::from_millis(patience + self.rng.u64(0..200));
            if let Ok(event) = timeout(patience, watch.next()).await {
                match event? {
                    WatchEvent::Compacted => return Ok(()),
                    WatchEvent::Changes { changes, .. } => {
                        for change in changes {
                            session.see(&self.layout, change);
                        }
                    }
                }
                continue; // what was to be done may be something else now
            }
            if let Some(action) = action {
                self.perform(action, &mut session).await?;
            }
        }
        Ok(())
    }

    /// One of the things that can be done now.
    fn next_action(&mut self, session: &Session) -> Option<Action> {
        let mut ground = self.ground.lock().unwrap();
        let running = ground.node(&self.id).running.clone();
        let mut actions: Vec<Action> = Vec::new();
        for name in running.keys() {
            let target = session.targets.get(name);
            if target.is_none_or(|(target, _)| target.desired != State::Launched) {
                actions.push(Action::Stop(name.clone()));
            }
        }
        for name in session.present.keys() {
            if !running.contains_key(name) && !session.targets.contains_key(name) {
                actions.push(Action::Forget(name.clone()));
            }
        }
        let is_here =
            |name: &UnitName| running.contains_key(name) || session.present.contains_key(name);
        for (name, (target, _)) in &session.targets {
            let has = session.present.get(name).map(|(hash, _)| hash);
            let runs = running.get(name).map(|running| &running.hash) == Some(&target.hash);
            let is_done = has == Some(&target.hash) && (runs || target.desired != State::Launched);
            if !is_done && !target.replacing.iter().any(is_here) {
                actions.push(Action::Take(name.clone()));
            }
        }
        drop(ground);
        let count = actions.len();
        (count > 0).then(|| actions.swap_remove(self.rng.usize(0..count)))
    }

    async fn perform(&mut self, action: Action, session: &mut Session) -> Result<(), StoreError> {
        match action {
            Action::Stop(name) => {
                sleep(Duration::from_millis(self.rng.u64(0..300))).await;
                self.ground.lock().unwrap().stop(&self.id, &name);
                Ok(())
            }
            Action::Forget(name) => self.forget(&name, session).await,
            Action::Take(name) => self.take(&name, session).await,
        }
    }

    async fn forget(&self, name: &UnitName, session: &mut Session) -> Result<(), StoreError> {
        let Some((_, revision)) = session.present.get(name) else {
            return Ok(());
        };
        let key = self.layout.present(&self.id, name);
        let condition = Condition::ModifiedAt(key.clone(), *revision);
        let delete = Transaction::new(condition, Operation::Delete(key));
        if !self.client.transact(delete).await?.is_committed() {
            return Err(StoreError::Refused("it was put again".to_owned()));
        }
        session.present.remove(name);
        Ok(())
    }

    /// Says that a unit is here, then starts it.
    async fn take(&self, name: &UnitName, session: &mut Session) -> Result<(), StoreError> {
        let (target, revision) = session.targets[name].clone();
        let old = self
            .ground
            .lock()
            .unwrap()
            .node(&self.id)
            .running
            .get(name)
            .cloned();
        if old.is_some_and(|old| old.hash != target.hash) {
            self.ground.lock().unwrap().stop(&self.id, name);
        }
        let condition = Condition::ModifiedAt(self.layout.target(&self.id, name), revision);
        let presence = Presence {
            hash: target.hash.clone(),
        };
        let put = Operation::put(self.layout.present(&self.id, name), presence.to_bytes());
        let outcome = self
            .client
            .transact(Transaction::new(condition, put))
            .await?;
        if let Outcome::Committed(revision) = outcome {
            session
                .present
                .insert(name.clone(), (target.hash.clone(), revision));
            if target.desired == State::Launched {
                self.ground
                    .lock()
                    .unwrap()
                    .start(&self.id, name, &target.hash);
            }
        }
        Ok(())
    }
}

impl Session {
    fn see(&mut self, layout: &Layout, change: Change) {
        let Some(fleet_store::Key::Target(_, name)) = layout.parse(change.key()) else {
            return;
        };
        match change {
            Change::Put(pair) => {
                let target = Target::from_pair(&pair).expect("an engine wrote it");
                self.targets.insert(name, (target, pair.mod_revision));
            }
            Change::Deleted { .. } => {
                self.targets.remove(&name);
            }
        }
    }
}

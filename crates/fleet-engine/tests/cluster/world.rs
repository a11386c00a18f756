//! A cluster: machines with agents, engines, a store, and somebody who asks for things.
//!
//! What must hold is checked elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use fleet_engine::{Config, Engine, Mirror};
use fleet_model::{Capacity, FleetOptions, MachineId, State};
use fleet_store::memory::{MemoryClient, MemoryStore, MemoryWatch};
use fleet_store::{
    Change, Contents, Key, KeyValue, Keys, Layout, MachineAvailability, MachineRecord,
    MachineSettings, Moving, Operation, Range, Store, Transaction, UnitRecord, Value, Watch,
    WatchEvent,
};
use systemd_unit::UnitName;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::agent::{self, Agent};
use crate::ground::{Ground, Node, trace};
use crate::watchdog;

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) layout: Layout,
    pub(crate) ground: Arc<Mutex<Ground>>,
    pub(crate) machines: BTreeMap<MachineId, Machine>,
    pub(crate) engines: Vec<Seat>,
    pub(crate) rng: Rng,
    auditor: Auditor,
}

/// A machine, switched on or off.
pub(crate) struct Machine {
    client: MemoryClient,
    record: MachineRecord,
    /// None while it is off.
    power: Option<Power>,
}

struct Power {
    agent: JoinHandle<()>,
    watchdog: JoinHandle<()>,
}

/// Where an engine runs.
pub(crate) struct Seat {
    client: MemoryClient,
    config: Config,
    engine: Option<JoinHandle<()>>,
}

/// Follows all that is written, and sees that nothing is placed on a dead machine.
struct Auditor {
    watch: MemoryWatch,
    client: MemoryClient,
    alive: BTreeSet<MachineId>,
    targets: BTreeSet<(MachineId, UnitName)>,
}

pub(crate) fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

pub(crate) fn id(text: &str) -> MachineId {
    MachineId::new(text)
}

/// The file of a unit with these options.
fn contents(options: &str) -> Contents {
    Contents {
        file: format!("[Service]\nExecStart=/bin/true\n\n[X-Fleet]\n{options}\n"),
        drop_ins: Vec::new(),
    }
}

/// Equal options have one hash.
pub(crate) fn hash(options: &str) -> String {
    let digits = options.bytes().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>() + "00"
}

impl World {
    /// A store, so many machines `m0`, `m1` and so on, so many engines.
    pub(crate) async fn new(seed: u64, machines: usize, engines: usize) -> Self {
        let store = MemoryStore::new(seed);
        let slowest = [40, 300, 900][usize::try_from(seed % 3).expect("it is small")];
        store.set_delay(Duration::from_millis(1)..Duration::from_millis(slowest));
        let ground = Arc::new(Mutex::new(Ground::new(store.clone())));
        let auditor = Auditor::new(store.client()).await;
        let mut world = Self {
            store,
            layout: Layout::default(),
            ground,
            machines: BTreeMap::new(),
            engines: Vec::new(),
            rng: Rng::with_seed(seed),
            auditor,
        };
        for _ in 0..machines {
            world.add_machine();
        }
        for n in 0..engines {
            let config = Config::new(id(&format!("e{n}")), "test");
            world.engines.push(Seat {
                client: world.store.client(),
                config,
                engine: None,
            });
            world.start_engine(n);
        }
        world
    }

    pub(crate) fn add_machine(&mut self) {
        let n = self.machines.len();
        let zone = ["a", "b", "c"][n % 3];
        let record = MachineRecord {
            metadata: [("zone".to_owned(), zone.to_owned())].into(),
            capacity: Capacity {
                memory: Some(1000),
                ..Capacity::default()
            },
            ..MachineRecord::default()
        };
        let machine = Machine {
            client: self.store.client(),
            record,
            power: None,
        };
        let id = id(&format!("m{n}"));
        self.machines.insert(id.clone(), machine);
        self.ground
            .lock()
            .unwrap()
            .nodes
            .insert(id.clone(), Node::new());
        self.switch_on(&id);
    }

    fn spawn_agent(&mut self, id: &MachineId) -> JoinHandle<()> {
        let machine = &self.machines[id];
        let agent = Agent {
            id: id.clone(),
            client: machine.client.clone(),
            ground: self.ground.clone(),
            record: machine.record.clone(),
            rng: self.rng.fork(),
            layout: self.layout.clone(),
        };
        tokio::spawn(agent::run(agent))
    }

    pub(crate) fn switch_on(&mut self, id: &MachineId) {
        if self.machines[id].power.is_some() {
            return;
        }
        let agent = self.spawn_agent(id);
        let watchdog = tokio::spawn(watchdog::run(id.clone(), self.ground.clone()));
        self.machine(id).power = Some(Power { agent, watchdog });
    }

    pub(crate) fn switch_off(&mut self, id: &MachineId) {
        if let Some(power) = self.machine(id).power.take() {
            power.agent.abort();
            power.watchdog.abort();
        }
        let mut ground = self.ground.lock().unwrap();
        ground.node(id).running.clear();
        ground.node(id).lease = None;
    }

    /// The agent is replaced by another one, as in an update of fleetd.
    pub(crate) fn restart_agent(&mut self, id: &MachineId) {
        if self.machines[id].power.is_none() {
            return;
        }
        let new = self.spawn_agent(id);
        if let Some(power) = &mut self.machine(id).power {
            std::mem::replace(&mut power.agent, new).abort();
        }
        self.ground.lock().unwrap().node(id).lease = None;
    }

    pub(crate) fn machine(&mut self, id: &MachineId) -> &mut Machine {
        self.machines.get_mut(id).expect("it was added")
    }

    pub(crate) fn set_link(&mut self, id: &MachineId, is_cut: bool) {
        set_link(&self.machines[id].client, is_cut);
    }

    pub(crate) fn start_engine(&mut self, n: usize) {
        let seat = &mut self.engines[n];
        if seat.engine.is_none() {
            let engine = Engine::new(seat.client.clone(), seat.config.clone());
            seat.engine = Some(tokio::spawn(engine.run(std::future::pending())));
        }
    }

    pub(crate) fn kill_engine(&mut self, n: usize) {
        if let Some(engine) = self.engines[n].engine.take() {
            engine.abort();
        }
    }

    pub(crate) fn set_engine_link(&mut self, n: usize, is_cut: bool) {
        set_link(&self.engines[n].client, is_cut);
    }

    pub(crate) fn set_engine_loss(&mut self, n: usize, percent: u8) {
        self.engines[n].client.set_loss(percent);
    }

    pub(crate) fn set_loss(&mut self, id: &MachineId, percent: u8) {
        self.machines[id].client.set_loss(percent);
    }

    /// Writes from outside, without delay.
    fn write(&self, operations: Vec<Operation>) {
        let transaction = Transaction {
            conditions: Vec::new(),
            operations,
        };
        self.store
            .put_through(&transaction)
            .expect("no lease is named");
    }

    fn look_at(&self, key: String) -> Option<KeyValue> {
        self.store.look(&Keys::One(key)).pop()
    }

    /// Puts a unit, new or not.
    pub(crate) fn put_unit(&self, text: &str, options: &str, desired: State) {
        let (name, hash, contents) = (name(text), hash(options), contents(options));
        let parsed: FleetOptions = contents
            .options(&name)
            .expect("the test's options are good");
        self.ground
            .lock()
            .unwrap()
            .options
            .insert(hash.clone(), parsed);
        let record = UnitRecord::new(hash.clone(), desired);
        self.write(vec![
            Operation::put(self.layout.contents(&hash), contents.to_bytes()),
            Operation::put(self.layout.unit(&name), record.to_bytes()),
        ]);
    }

    pub(crate) fn destroy(&self, name: &UnitName) {
        self.write(vec![Operation::Delete(self.layout.unit(name))]);
    }

    /// Asks for something else of a unit that is there.
    pub(crate) fn change_unit(&self, name: &UnitName, change: impl FnOnce(&mut UnitRecord)) {
        let key = self.layout.unit(name);
        if let Some(pair) = self.look_at(key.clone()) {
            let mut record = UnitRecord::from_pair(&pair).expect("the test wrote it");
            change(&mut record);
            self.write(vec![Operation::put(key, record.to_bytes())]);
        }
    }

    pub(crate) fn ask_to_move(&self, name: &UnitName, to: Option<MachineId>) {
        if let Some(from) = self.places(name).pop() {
            self.change_unit(name, |record| record.moving = Some(Moving { from, to }));
        }
    }

    pub(crate) fn set_availability(&self, id: &MachineId, availability: MachineAvailability) {
        let settings = MachineSettings {
            availability,
            ..MachineSettings::default()
        };
        self.write(vec![Operation::put(
            self.layout.settings(id),
            settings.to_bytes(),
        )]);
    }

    pub(crate) fn end_lease(&self, id: &MachineId) {
        let lease = self.ground.lock().unwrap().node(id).last_lease;
        if let Some(lease) = lease {
            self.store.end_lease(lease);
        }
    }

    /// The units there are.
    pub(crate) fn units(&self) -> Vec<UnitName> {
        let pairs = self.store.look(&self.layout.units());
        let names = pairs
            .iter()
            .filter_map(|pair| match self.layout.parse(&pair.key) {
                Some(Key::Unit(name)) => Some(name),
                _ => None,
            });
        names.collect()
    }

    /// The machines that shall have a unit.
    pub(crate) fn places(&self, name: &UnitName) -> Vec<MachineId> {
        let has = |id: &&MachineId| self.look_at(self.layout.target(id, name)).is_some();
        self.machines.keys().filter(has).cloned().collect()
    }

    /// The machines where a unit runs.
    pub(crate) fn runs_on(&self, name: &UnitName) -> Vec<String> {
        let ground = self.ground.lock().unwrap();
        let nodes = ground.nodes.iter();
        let found = nodes.filter(|(_, node)| node.running.contains_key(name));
        found.map(|(id, _)| id.to_string()).collect()
    }

    /// The store as an engine sees it.
    pub(crate) fn mirror(&self) -> Mirror {
        let range = Range {
            revision: self.store.revision(),
            pairs: self.store.look(&self.layout.decisive()),
        };
        Mirror::new(self.layout.clone(), range, Instant::now())
    }

    /// Lets time pass, and checks what happened.
    pub(crate) async fn pass(&mut self, time: Duration, when: &str) {
        trace(when);
        sleep(time).await;
        self.auditor.audit(&self.store, when).await;
        let mut ground = self.ground.lock().unwrap();
        ground.check(when);
        assert_eq!(ground.broken, Vec::<String>::new(), "{when}");
    }

    /// Waits until something is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + Duration::from_mins(3);
        while !is_so(self) {
            assert!(Instant::now() < limit, "never: {what}\n{}", self.describe());
            self.pass(Duration::from_millis(100), what).await;
        }
    }

    /// Everything there is, for messages.
    pub(crate) fn describe(&self) -> String {
        let pairs = self.store.look(&self.layout.everything());
        let lines = pairs
            .iter()
            .map(|pair| describe(&Change::Put(pair.clone())) + "\n");
        lines.filter(|line| !line.contains("/contents/")).collect()
    }
}

fn set_link(client: &MemoryClient, is_cut: bool) {
    if is_cut {
        client.cut();
    } else {
        client.mend();
    }
}

fn describe(change: &Change) -> String {
    match change {
        Change::Put(pair) => {
            let value = String::from_utf8_lossy(&pair.value);
            format!("    {} {} = {value}", pair.mod_revision, pair.key)
        }
        Change::Deleted { key, revision } => format!("    {revision} {key} deleted"),
    }
}

impl Auditor {
    async fn new(client: MemoryClient) -> Self {
        let keys = Layout::default().everything();
        let watch = client.watch(keys, 1).await.expect("the link is not cut");
        Self {
            watch,
            client,
            alive: BTreeSet::new(),
            targets: BTreeSet::new(),
        }
    }

    async fn audit(&mut self, store: &MemoryStore, when: &str) {
        while let Ok(event) = timeout(Duration::from_millis(50), self.watch.next()).await {
            match event.expect("watches do not fail") {
                WatchEvent::Changes { changes, .. } => {
                    for change in changes {
                        self.see(&change, when);
                    }
                }
                WatchEvent::Compacted => self.begin_anew(store).await,
            }
        }
    }

    async fn begin_anew(&mut self, store: &MemoryStore) {
        let layout = Layout::default();
        (self.alive, self.targets) = (BTreeSet::new(), BTreeSet::new());
        for pair in store.look(&layout.everything()) {
            match layout.parse(&pair.key) {
                Some(Key::Alive(id)) => drop(self.alive.insert(id)),
                Some(Key::Target(id, name)) => drop(self.targets.insert((id, name))),
                _ => {}
            }
        }
        let next = store.revision() + 1;
        let watch = self.client.watch(layout.everything(), next).await;
        self.watch = watch.expect("the link is not cut");
    }

    fn see(&mut self, change: &Change, when: &str) {
        let is_put = matches!(change, Change::Put(_));
        trace(&describe(change));
        match Layout::default().parse(change.key()) {
            Some(Key::Alive(id)) if is_put => drop(self.alive.insert(id)),
            Some(Key::Alive(id)) => drop(self.alive.remove(&id)),
            Some(Key::Target(id, name)) if is_put => {
                let is_dead = !self.alive.contains(&id);
                let text = format!("{when}: {} is placed on {id}, which is dead", name.as_str());
                let is_new = self.targets.insert((id, name));
                assert!(!(is_new && is_dead), "{text}");
            }
            Some(Key::Target(id, name)) => drop(self.targets.remove(&(id, name))),
            _ => {}
        }
    }
}

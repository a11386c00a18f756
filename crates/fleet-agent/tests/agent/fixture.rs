//! A machine with an agent, and a store beside it.
//!
//! Time is tokio's, which is paused in these tests.

use std::time::Duration;

use container_model::registration::Settings;
use fleet_agent::{Agent, Configuration, Registration, SimulatedSystemd, Uptime};
use fleet_api::Unit;
use fleet_model::{MachineId, State};
use fleet_store::memory::{MemoryClient, MemoryStore};
use fleet_store::{
    Alive, Contents, KeyValue, Keys, Layout, MachineRecord, Operation, Presence, Target,
    Transaction, UnitStatus, Value,
};
use machine_facts::system_root::SystemRoot;
use systemd_unit::{UnitFile, UnitName};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Of the machines' leases.
pub(crate) const TTL: Duration = Duration::from_secs(12);
/// Until units start from memory.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// A machine.
pub(crate) struct Machine {
    pub(crate) store: MemoryStore,
    pub(crate) client: MemoryClient,
    pub(crate) systemd: SimulatedSystemd,
    pub(crate) folder: TempDir,
    pub(crate) id: MachineId,
    pub(crate) boot_id: String,
    pub(crate) layout: Layout,
    pub(crate) record: MachineRecord,
    pub(crate) registration: Settings,
    pub(crate) agent: Option<Agent<MemoryClient>>,
    booted: Instant,
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn name(text: &str) -> UnitName {
    UnitName::new(text).expect("a name")
}

/// A unit's file; `options` is its `[X-Fleet]` section.
pub(crate) fn contents(description: &str, options: &str) -> Contents {
    let file = format!(
        "[Unit]\nDescription={description}\n\n[Service]\nExecStart=/bin/true\n\n[X-Fleet]\n{options}"
    );
    Contents {
        file,
        drop_ins: Vec::new(),
    }
}

pub(crate) fn hash(unit: &UnitName, contents: &Contents) -> String {
    let file = UnitFile::parse(contents.file.as_str()).expect("a unit file");
    let unit = Unit::from_file(unit.as_str(), &file);
    unit.hash().expect("a hash")
}

impl Machine {
    /// A machine whose agent does not run yet.
    pub(crate) fn new(store: &MemoryStore) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            store: store.clone(),
            client: store.client(),
            systemd: SimulatedSystemd::new(SystemRoot::new(folder.path())),
            folder,
            id: MachineId::new("0123456789abcdef0123456789abcdef"),
            boot_id: "boot-1".to_owned(),
            layout: Layout::default(),
            record: MachineRecord::default(),
            registration: Settings::default(),
            agent: None,
            booted: Instant::now(),
        }
    }

    /// A machine that is registered.
    pub(crate) async fn registered(store: &MemoryStore) -> Self {
        let mut machine = Self::new(store);
        machine.start_agent();
        sleep(seconds(1)).await;
        assert_eq!(machine.registration(), Registration::Registered);
        machine
    }

    pub(crate) fn start_agent(&mut self) {
        self.start_agent_unconnected();
        self.systemd.renew();
    }

    /// An agent that systemd has not heard yet.
    pub(crate) fn start_agent_unconnected(&mut self) {
        let booted = self.booted;
        let configuration = Configuration {
            machine: self.id.clone(),
            boot_id: self.boot_id.clone(),
            record: self.record.clone(),
            layout: self.layout.clone(),
            lease_ttl: TTL,
            boot_grace: GRACE,
            registration: self.registration.clone(),
            root: SystemRoot::new(self.folder.path()),
            uptime: Uptime::new(move || booted.elapsed()),
        };
        self.systemd.disconnect();
        let agent = Agent::start(configuration, self.systemd.clone(), self.client.clone());
        self.agent = Some(agent);
    }

    /// What systemd starts when the agent has ended.
    pub(crate) fn guard(&self) -> impl Future<Output = ()> + Send + 'static {
        let booted = self.booted;
        let uptime = Uptime::new(move || booted.elapsed());
        let root = SystemRoot::new(self.folder.path());
        fleet_agent::guard(root, uptime, self.systemd.clone())
    }

    /// As `kill -9` does.
    pub(crate) fn kill_agent(&mut self) {
        self.agent = None;
    }

    pub(crate) async fn stop_agent(&mut self) {
        self.agent.take().expect("it runs").stop().await;
    }

    /// A boot, at once. The agent has to be started by the caller.
    pub(crate) fn reboot(&mut self) {
        self.kill_agent();
        self.systemd.reboot();
        let run = self.folder.path().join("run");
        let _removed = std::fs::remove_dir_all(run);
        self.boot_id.push('+');
        self.booted = Instant::now();
    }

    pub(crate) fn registration(&self) -> Registration {
        self.agent.as_ref().expect("it runs").registration()
    }

    /// Has the engine give the machine a unit.
    pub(crate) fn target(&self, unit: &str, contents: &Contents, desired: State) {
        self.target_replacing(unit, contents, desired, &[]);
    }

    pub(crate) fn target_replacing(
        &self,
        unit: &str,
        contents: &Contents,
        desired: State,
        replacing: &[&str],
    ) {
        let unit = name(unit);
        let hash = hash(&unit, contents);
        let target = Target {
            hash: hash.clone(),
            desired,
            replacing: replacing.iter().map(|other| name(other)).collect(),
        };
        self.put(self.layout.contents(&hash), contents);
        self.put(self.layout.target(&self.id, &unit), &target);
    }

    fn put(&self, key: String, value: &impl Value) {
        self.change(Operation::put(key, value.to_bytes()));
    }

    pub(crate) fn untarget(&self, unit: &str) {
        self.change(Operation::Delete(self.layout.target(&self.id, &name(unit))));
    }

    pub(crate) fn change(&self, operation: Operation) {
        let outcome = self.store.put_through(&Transaction {
            conditions: Vec::new(),
            operations: vec![operation],
        });
        assert!(outcome.is_some_and(fleet_store::Outcome::is_committed));
    }

    fn pair(&self, key: String) -> Option<KeyValue> {
        self.store.look(&Keys::One(key)).into_iter().next()
    }

    /// The hash of what the store knows to be present.
    pub(crate) fn present(&self, unit: &str) -> Option<String> {
        let pair = self.pair(self.layout.present(&self.id, &name(unit)))?;
        Some(Presence::from_pair(&pair).expect("a presence").hash)
    }

    pub(crate) fn has_target(&self, unit: &str) -> bool {
        let key = self.layout.target(&self.id, &name(unit));
        self.pair(key).is_some()
    }

    pub(crate) fn state(&self, unit: &str) -> Option<UnitStatus> {
        let pair = self.pair(self.layout.state(&self.id, &name(unit)))?;
        Some(UnitStatus::from_pair(&pair).expect("a state"))
    }

    pub(crate) fn alive(&self) -> Option<(Alive, KeyValue)> {
        let pair = self.pair(self.layout.alive(&self.id))?;
        Some((Alive::from_pair(&pair).expect("a sign of life"), pair))
    }

    pub(crate) fn stored_record(&self) -> Option<MachineRecord> {
        let pair = self.pair(self.layout.record(&self.id))?;
        Some(MachineRecord::from_pair(&pair).expect("a record"))
    }

    pub(crate) fn is_running(&self, unit: &str) -> bool {
        self.systemd.is_running(&name(unit))
    }
}

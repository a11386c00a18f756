//! Machines that are real agents over a real kvd, with a simulated systemd each; the engine is a process.
//!
//! Each agent has a connection of its own, as on a machine. That all of them share one process, with kvd and
//! the engine beside it, is more than any machine has to do: figures are what two cores do for all.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fleet_agent::{Agent, Configuration, Uptime};
use fleet_api::Unit;
use fleet_etcd::EtcdStore;
use fleet_model::{MachineId, State};
use fleet_store::{
    Condition, Contents, Keys, Layout, MachineRecord, OPERATIONS_MAX, Operation, Outcome, Store,
    Transaction, UnitRecord, Value,
};
use machine_facts::system_root::SystemRoot;
use systemd_unit::{UnitFile, UnitName};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

use super::engine::{EngineProcess, open};
use super::latency::Latencies;
use super::systemd::{Started, TimedSystemd};
use crate::kv::server::Cluster;

/// fleetd's own settings.
const LEASE: Duration = Duration::from_secs(30);
const BOOT_GRACE: Duration = Duration::from_secs(20);
/// Until all is done that was asked for.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two starts that are measured one by one.
const PAUSE: Duration = Duration::from_millis(20);
const UNIT: &str = "[Service]\nExecStart=/bin/true\n";

/// Machines, an engine and what they share.
pub(crate) struct Simulated {
    store: EtcdStore,
    layout: Layout,
    contents: (String, Contents),
    agents: Vec<(MachineId, Agent<EtcdStore>)>,
    started: UnboundedReceiver<Started>,
    pub(crate) engine: EngineProcess,
    /// The machines' file systems.
    folder: tempfile::TempDir,
}

impl Simulated {
    /// So many machines that are registered, below a folder, over a store.
    pub(crate) async fn start(
        machines: usize,
        cluster: &Cluster,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let url = cluster.client_url();
        let folder = tempfile::tempdir_in(folder)?;
        let (sender, started) = unbounded_channel();
        let mut simulated = Self {
            store: open(&url)?,
            layout: Layout::default(),
            contents: contents()?,
            agents: Vec::new(),
            started,
            engine: EngineProcess::start(&url)?,
            folder,
        };
        for number in 0..machines {
            let id = MachineId::new(format!("{number:032x}"));
            let root = simulated.folder.path().join(id.as_str());
            std::fs::create_dir_all(&root)?;
            let root = SystemRoot::new(root);
            let systemd = TimedSystemd::new(root.clone(), sender.clone());
            let configuration = configuration(id.clone(), root);
            let agent = Agent::start(configuration, systemd, open(&url)?);
            simulated.agents.push((id, agent));
        }
        simulated.wait_registered(machines).await?;
        Ok(simulated)
    }

    async fn wait_registered(&self, machines: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let found = self.store.range(self.layout.machines()).await?;
            let alive = found
                .pairs
                .iter()
                .filter(|pair| pair.key.ends_with("/alive"));
            let leader = self.store.range(Keys::One(self.layout.leader())).await?;
            if alive.count() == machines && !leader.pairs.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the machines do not register");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Has so many units started at once; how long until the last start was called.
    pub(crate) async fn fill(&mut self, units: usize) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut operations = Vec::new();
        let mut names = BTreeSet::new();
        for number in 0..units {
            let name = UnitName::new(format!("many@{number}.service"))?;
            operations.push(self.unit(&name));
            names.insert(name);
        }
        let (hash, contents) = &self.contents;
        // Without a unit that names them they would be garbage.
        operations.insert(
            1,
            Operation::put(self.layout.contents(hash), contents.to_bytes()),
        );
        let write = async {
            for operations in operations.chunks(OPERATIONS_MAX) {
                let transaction = Transaction {
                    conditions: Vec::new(),
                    operations: operations.to_vec(),
                };
                self.store.transact(transaction).await?;
            }
            anyhow::Ok(())
        };
        let wait = wait_started(&mut self.started, names);
        let (written, last) = tokio::join!(write, wait);
        written?;
        Ok(last?.saturating_duration_since(begun))
    }

    /// One unit after another: from its being written, as by the API, to the call of its start.
    pub(crate) async fn start_singly(&mut self, count: usize) -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::default();
        for number in 0..count {
            let name = UnitName::new(format!("single@{number}.service"))?;
            let (hash, contents) = &self.contents;
            let mut operations = vec![Operation::put(
                self.layout.contents(hash),
                contents.to_bytes(),
            )];
            operations.push(self.unit(&name));
            let transaction = Transaction {
                conditions: vec![Condition::Absent(self.layout.unit(&name))],
                operations,
            };
            let begun = Instant::now();
            let outcome = self.store.transact(transaction).await?;
            ensure!(matches!(outcome, Outcome::Committed(_)), "{name} is there");
            let last = wait_started(&mut self.started, [name].into()).await?;
            latencies.push(last.saturating_duration_since(begun));
            sleep(PAUSE).await;
        }
        Ok(latencies)
    }

    /// Loses a machine: how many units it had, and how long after its lease's end the last was started elsewhere.
    pub(crate) async fn lose_one(&mut self) -> anyhow::Result<(usize, Duration)> {
        let (id, agent) = self.agents.pop().context("there are machines")?;
        drop(agent);
        let targets = self.store.range(self.layout.targets_of(&id)).await?;
        let names: BTreeSet<UnitName> = targets
            .pairs
            .iter()
            .filter_map(|pair| match self.layout.parse(&pair.key)? {
                fleet_store::Key::Target(_, name) => Some(name),
                _ => None,
            })
            .collect();
        let count = names.len();
        let begun = Instant::now();
        let ends = Transaction {
            conditions: Vec::new(),
            operations: vec![Operation::Delete(self.layout.alive(&id))],
        };
        self.store.transact(ends).await?;
        let last = wait_started(&mut self.started, names).await?;
        Ok((count, last.saturating_duration_since(begun)))
    }

    fn unit(&self, name: &UnitName) -> Operation {
        let record = UnitRecord::new(self.contents.0.clone(), State::Launched);
        Operation::put(self.layout.unit(name), record.to_bytes())
    }
}

/// Waits until these were started; when the last was.
async fn wait_started(
    started: &mut UnboundedReceiver<Started>,
    mut missing: BTreeSet<UnitName>,
) -> anyhow::Result<Instant> {
    let mut last = Instant::now();
    let wait = async {
        while !missing.is_empty() {
            let (name, at) = started.recv().await.context("there are agents")?;
            if missing.remove(&name) {
                last = at;
            }
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, wait)
        .await
        .context("some units were never started")??;
    Ok(last)
}

fn contents() -> anyhow::Result<(String, Contents)> {
    let file = UnitFile::parse(UNIT)?;
    let hash = Unit::from_file("many@.service", &file).hash()?;
    let contents = Contents {
        file: UNIT.to_owned(),
        drop_ins: Vec::new(),
    };
    Ok((hash, contents))
}

fn configuration(machine: MachineId, root: SystemRoot) -> Configuration {
    Configuration {
        boot_id: machine.to_string(),
        machine,
        record: MachineRecord::default(),
        layout: Layout::default(),
        lease_ttl: LEASE,
        boot_grace: BOOT_GRACE,
        registration: fleet_agent::RegistrationSettings::default(),
        root,
        uptime: Uptime::of_machine(),
    }
}

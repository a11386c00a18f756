//! What really runs, whatever anybody believes, and whether that is allowed.
//!
//! It is told by agents; it tells them nothing.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use fleet_model::{FleetOptions, MachineId, OnPartition};
use fleet_store::memory::{MemoryLease, MemoryStore};
use fleet_store::{Keys, Layout, Lease, LeaseId};
use systemd_unit::UnitName;
use tokio::time::{Duration, Instant};

/// So long before the end of a lease all is dead that stops on partitions.
pub(crate) const MARGIN: Duration = Duration::from_millis(500);

/// What runs.
pub(crate) struct Ground {
    store: MemoryStore,
    pub(crate) nodes: BTreeMap<MachineId, Node>,
    /// Options by hash.
    pub(crate) options: BTreeMap<String, FleetOptions>,
    /// What must not happen and did.
    pub(crate) broken: Vec<String>,
    pub(crate) starts: usize,
}

/// A machine.
pub(crate) struct Node {
    pub(crate) running: BTreeMap<UnitName, Running>,
    /// The lease of its agent, if that lives.
    pub(crate) lease: Option<std::sync::Arc<MemoryLease>>,
    /// The lease it was given last: on its disk.
    pub(crate) last_lease: Option<LeaseId>,
    /// Until when the lease certainly lives.
    pub(crate) deadline: Instant,
}

/// A unit that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) hash: String,
    /// Whether it ran while its machine was lost.
    pub(crate) is_kept: bool,
}

/// Says what happens, if one seed is looked at.
pub(crate) fn trace(what: &str) {
    static IS_ON: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FLEET_SEED").is_some());
    if *IS_ON {
        // The simulated clock begins anywhere.
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let begin = *BEGIN.get_or_init(Instant::now);
        eprintln!("{:9.3} {what}", begin.elapsed().as_secs_f64());
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            running: BTreeMap::new(),
            lease: None,
            last_lease: None,
            deadline: Instant::now(),
        }
    }

    /// Whether units that stop may run.
    fn has_time(&self) -> bool {
        Instant::now() + MARGIN < self.deadline
    }
}

impl Ground {
    pub(crate) fn new(store: MemoryStore) -> Self {
        Self {
            store,
            nodes: BTreeMap::new(),
            options: BTreeMap::new(),
            broken: Vec::new(),
            starts: 0,
        }
    }

    pub(crate) fn node(&mut self, id: &MachineId) -> &mut Node {
        self.nodes.entry(id.clone()).or_insert_with(Node::new)
    }

    fn stops(&self, hash: &str) -> bool {
        self.options[hash].on_partition == OnPartition::Stop
    }

    /// systemd starts a unit; whether it was allowed to.
    pub(crate) fn start(&mut self, id: &MachineId, name: &UnitName, hash: &str) -> bool {
        if self.stops(hash) && !self.node(id).has_time() {
            return false;
        }
        let running = Running {
            hash: hash.to_owned(),
            is_kept: false,
        };
        trace(&format!("{id} starts {} {}", name.as_str(), hash));
        self.node(id).running.insert(name.clone(), running);
        self.starts += 1;
        self.check(&format!("after the start of {} on {id}", name.as_str()));
        true
    }

    pub(crate) fn stop(&mut self, id: &MachineId, name: &UnitName) {
        trace(&format!("{id} stops {}", name.as_str()));
        self.node(id).running.remove(name);
    }

    /// What stops on partitions is killed if it is time.
    pub(crate) fn kill_in_time(&mut self, id: &MachineId) {
        let node = self.node(id);
        if let Some(lease) = &node.lease {
            node.deadline = lease.deadline().unwrap_or_else(|_| Instant::now());
        }
        if node.has_time() {
            return;
        }
        let options = &self.options;
        let stops = |running: &Running| options[&running.hash].on_partition == OnPartition::Stop;
        let node = self.nodes.get_mut(id).expect("it was there above");
        node.running.retain(|_, running| !stops(running));
    }

    /// The machine was lost: whatever runs may run twice from now on.
    pub(crate) fn note_lost(&mut self, id: &MachineId) {
        trace(&format!("{id} is or was lost"));
        for running in self.node(id).running.values_mut() {
            running.is_kept = true;
        }
    }

    /// Checks everything that must always be so.
    pub(crate) fn check(&mut self, when: &str) {
        let layout = Layout::default();
        let ids: Vec<MachineId> = self.nodes.keys().cloned().collect();
        for id in &ids {
            if self.is_there(layout.alive(id)) {
                self.note_settled(id, &layout);
            } else {
                self.note_lost(id);
            }
        }
        let found = self.find_twice().into_iter().chain(self.find_conflicts());
        let found: Vec<String> = found.map(|what| format!("{when}: {what}")).collect();
        self.broken.extend(found);
    }

    fn is_there(&self, key: String) -> bool {
        !self.store.look(&Keys::One(key)).is_empty()
    }

    /// What a living machine shall have is placed nowhere else: it may run here only.
    fn note_settled(&mut self, id: &MachineId, layout: &Layout) {
        let names: Vec<UnitName> = self.node(id).running.keys().cloned().collect();
        for name in names {
            if self.is_there(layout.target(id, &name))
                && let Some(running) = self.node(id).running.get_mut(&name)
            {
                running.is_kept = false;
            }
        }
    }

    /// Units that run twice, neither global nor kept through a partition.
    fn find_twice(&self) -> Vec<String> {
        let mut runs: BTreeMap<&UnitName, Vec<(&MachineId, &Running)>> = BTreeMap::new();
        for (id, node) in &self.nodes {
            for (name, running) in &node.running {
                runs.entry(name).or_default().push((id, running));
            }
        }
        let is_bad = |machines: &[(&MachineId, &Running)]| {
            let single = |running: &Running| !self.options[&running.hash].is_global();
            let mut all = machines.iter().filter(|(_, one)| single(one));
            let unkept = all.clone().filter(|(_, one)| !one.is_kept).count();
            let stops = all.clone().filter(|(_, one)| self.stops(&one.hash)).count();
            all.next().is_some() && (unkept > 1 || stops > 1)
        };
        let bad = runs.iter().filter(|(_, machines)| is_bad(machines));
        bad.map(|(name, machines)| {
            let ids: Vec<&str> = machines.iter().map(|(id, _)| id.as_str()).collect();
            format!("{} runs on {ids:?}", name.as_str())
        })
        .collect()
    }

    /// Units that run where they exclude each other.
    fn find_conflicts(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, node) in &self.nodes {
            for (name, running) in &node.running {
                let options = &self.options[&running.hash];
                let globs = options.conflicts.iter().chain(options.replaces());
                for glob in globs {
                    let mut others = node.running.keys().filter(|other| *other != name);
                    let other = others.find(|other| glob.matches(other.as_str()));
                    found.extend(other.map(|other| {
                        format!("on {id}, {} excludes {}", name.as_str(), other.as_str())
                    }));
                }
            }
        }
        found
    }
}

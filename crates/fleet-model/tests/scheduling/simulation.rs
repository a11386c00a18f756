//! A cluster with a clock of its own: a store with leases, an engine, agents, machines that fail.
//!
//! Agents are as lazy as chance has it. What must hold is checked in `model`.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use fleet_model::{
    Availability, Decision, Fence, Machine, MachineId, Moving, OnPartition, Schedule, State, Unit,
    View, schedule,
};
use systemd_unit::UnitName;

use crate::fixture::{machine, unit};

/// A lease's time, in ticks.
const TTL: u64 = 6;

/// How a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// It reaches the store.
    Up,
    /// It runs, and does not reach the store since then.
    Cut(u64),
    /// It is off.
    Off(u64),
}

/// A machine as it really is.
pub(crate) struct Node {
    pub(crate) link: Link,
    pub(crate) running: BTreeSet<UnitName>,
    /// What an operator asked for.
    pub(crate) wish: Availability,
    /// When the store ended its lease.
    ended: Option<u64>,
}

/// All of it. The view is the store's.
pub(crate) struct Simulation {
    pub(crate) now: u64,
    pub(crate) view: View,
    pub(crate) nodes: BTreeMap<MachineId, Node>,
    pub(crate) rng: Rng,
    next: usize,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let mut simulation = Self {
            now: 0,
            view: View::default(),
            nodes: BTreeMap::new(),
            rng: Rng::with_seed(seed),
            next: 0,
        };
        for _ in 0..4 {
            simulation.add_machine();
        }
        simulation
    }

    pub(crate) fn is_lost(&self, id: &MachineId) -> bool {
        self.nodes[id].ended.is_some()
    }

    fn add_machine(&mut self) {
        let n = self.nodes.len();
        let zone = ["a", "b", "c"][n % 3];
        let mut new = machine(&format!("m{n}"), &[("zone", zone)]);
        new.capacity.memory = Some(1000);
        let node = Node {
            link: Link::Up,
            running: BTreeSet::new(),
            wish: Availability::Open,
            ended: None,
        };
        self.nodes.insert(new.id.clone(), node);
        self.view.insert_machine(new);
    }

    fn add_unit(&mut self) {
        let n = self.next;
        self.next += 1;
        let group = n % 3;
        let peer = self.rng.usize(0..=n);
        let options = match self.rng.u8(0..10) {
            0 => format!("Conflicts=g{group}@*.service"),
            1 => format!("MachineOf=g{}@{peer}.service", peer % 3),
            2 => "Global=yes\nReserveMemory=100".to_owned(),
            3 => "MachineMetadata=\"zone=a\" \"zone=b\"\nReserveMemory=300".to_owned(),
            4 => format!("Replaces=g{}@{peer}.service", peer % 3),
            5 => "Spread=zone".to_owned(),
            6 => "MachineID=m1".to_owned(),
            _ => "ReserveMemory=200".to_owned(),
        };
        let policy = ["keep", "stop"][n % 2];
        let is_own_peer =
            peer == n && (options.starts_with("MachineOf") || options.starts_with("Rep"));
        let options = if is_own_peer { String::new() } else { options };
        let name = format!("g{group}@{n}.service");
        self.view
            .insert_unit(unit(&name, &format!("{options}\nOnPartition={policy}")));
    }

    fn any_machine(&mut self) -> MachineId {
        let ids: Vec<&MachineId> = self.nodes.keys().collect();
        ids[self.rng.usize(0..ids.len())].clone()
    }

    fn any_unit(&mut self) -> Option<Unit> {
        let count = self.view.units().len();
        let at = (count > 0).then(|| self.rng.usize(0..count))?;
        self.view.units().nth(at).cloned()
    }

    /// Something happens.
    pub(crate) fn disturb(&mut self) {
        match self.rng.u8(0..13) {
            0..=4 => self.add_unit(),
            5 => {
                if let Some(unit) = self.any_unit() {
                    self.view.remove_unit(&unit.name);
                }
            }
            6 => {
                if let Some(mut unit) = self.any_unit() {
                    unit.desired = [State::Inactive, State::Launched][self.rng.usize(0..2)];
                    self.view.insert_unit(unit);
                }
            }
            7 if self.nodes.len() < 8 => self.add_machine(),
            8 => self.operate(),
            9 => self.end_a_lease_early(),
            10 => self.ask_to_move(),
            _ => self.cut_or_mend(),
        }
    }

    fn ask_to_move(&mut self) {
        let to = self.rng.bool().then(|| self.any_machine());
        let Some(mut unit) = self.any_unit() else {
            return;
        };
        if let Some(from) = unit.placed_on.first().cloned() {
            unit.moving = Some(Moving { from, to });
            self.view.insert_unit(unit);
        }
    }

    fn operate(&mut self) {
        let id = self.any_machine();
        let wishes = [
            Availability::Open,
            Availability::Cordoned,
            Availability::Draining,
        ];
        let wish = wishes[self.rng.usize(0..wishes.len())];
        self.nodes.get_mut(&id).unwrap().wish = wish;
        self.show();
    }

    fn end_a_lease_early(&mut self) {
        let id = self.any_machine();
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        if node.link != Link::Up && node.ended.is_none() {
            node.ended = Some(now);
        }
        self.show();
    }

    fn cut_or_mend(&mut self) {
        let id = self.any_machine();
        let is_off = self.rng.bool();
        let now = self.now;
        let node = self.nodes.get_mut(&id).unwrap();
        match node.link {
            Link::Up if is_off => {
                node.running.clear();
                node.link = Link::Off(now);
            }
            Link::Up => node.link = Link::Cut(now),
            _ => self.mend(&id),
        }
    }

    /// A machine reaches the store again: first it stops what it should not have, then it says so.
    pub(crate) fn mend(&mut self, id: &MachineId) {
        let placed = self.placed(id);
        let node = self.nodes.get_mut(id).unwrap();
        node.link = Link::Up;
        node.ended = None;
        node.running.retain(|unit| placed.contains(unit));
        self.show();
        self.report(id);
    }

    /// Time goes on: leases end, and units that stop on partitions have stopped before.
    pub(crate) fn tick(&mut self) {
        self.now += 1;
        for node in self.nodes.values_mut() {
            let (Link::Cut(since) | Link::Off(since)) = node.link else {
                continue;
            };
            if self.now >= since + TTL - 1 {
                let view = &self.view;
                // A destroyed unit's policy is known to the agent; here it is in the name.
                node.running.retain(|unit| !stops(view, unit));
            }
            if self.now >= since + TTL {
                node.ended.get_or_insert(self.now);
            }
        }
        self.show();
    }

    /// What the store shows of machines.
    fn show(&mut self) {
        for (id, node) in &self.nodes {
            let mut machine: Machine = self.view.machine(id).unwrap().clone();
            machine.availability = match (node.ended, node.link) {
                (None, _) => node.wish,
                (Some(_), Link::Cut(since) | Link::Off(since)) if self.now < since + TTL => {
                    Availability::Lost(Fence::Pending)
                }
                _ => Availability::Lost(Fence::Elapsed),
            };
            self.view.insert_machine(machine);
        }
    }

    fn placed(&self, id: &MachineId) -> BTreeSet<UnitName> {
        let units = self.view.units().filter(|unit| unit.placed_on.contains(id));
        units.map(|unit| unit.name.clone()).collect()
    }

    /// An agent does one thing: it stops what is not placed here; if there is nothing to stop, it starts
    /// what is.
    pub(crate) fn act(&mut self, id: &MachineId) -> bool {
        let placed = self.placed(id);
        let node = self.nodes.get_mut(id).unwrap();
        if node.link != Link::Up {
            return false;
        }
        let stop = node
            .running
            .iter()
            .find(|unit| !placed.contains(*unit))
            .cloned();
        let start = placed
            .iter()
            .find(|unit| !node.running.contains(*unit))
            .cloned();
        let has_acted = match (stop, start) {
            (Some(unit), _) => node.running.remove(&unit),
            (None, Some(unit)) => node.running.insert(unit),
            (None, None) => false,
        };
        self.report(id);
        has_acted
    }

    /// A machine says what it has.
    fn report(&mut self, id: &MachineId) {
        let units: Vec<Unit> = self.view.units().cloned().collect();
        for mut unit in units {
            if self.nodes[id].running.contains(&unit.name) {
                unit.present_on.insert(id.clone());
            } else {
                unit.present_on.remove(id);
            }
            self.view.insert_unit(unit);
        }
    }

    /// The engine decides, and its decisions are written.
    pub(crate) fn decide(&mut self) -> Schedule {
        let found = schedule(&self.view);
        assert_eq!(schedule(&self.view), found, "equal views, equal answers");
        for decision in &found.decisions {
            self.check(decision);
            self.view.apply(decision);
        }
        found
    }

    /// Nothing is placed on a dead or cordoned machine.
    fn check(&self, decision: &Decision) {
        if let Some(target) = decision.target() {
            let availability = self.view.machine(target).unwrap().availability;
            assert_eq!(availability, Availability::Open, "{decision:?}");
        }
    }

    /// Faults stop, operators take back what they asked for, and everybody does their work.
    pub(crate) fn calm_down(&mut self) {
        let ids: Vec<MachineId> = self.nodes.keys().cloned().collect();
        for id in &ids {
            self.nodes.get_mut(id).unwrap().wish = Availability::Open;
            if self.nodes[id].link != Link::Up {
                self.mend(id);
            }
        }
        self.show();
    }
}

/// By the unit's number: odd ones stop. A destroyed unit keeps its policy so.
pub(crate) fn stops(view: &View, name: &UnitName) -> bool {
    if let Some(unit) = view.unit(name) {
        return unit.options.on_partition == OnPartition::Stop;
    }
    let number: usize = name
        .without_type()
        .rsplit('@')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    number % 2 == 1
}

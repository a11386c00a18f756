//! All that decisions are made from.
//!
//! Whoever fills it reads the store; this only keeps it in order.

use std::collections::BTreeMap;

use systemd_unit::UnitName;

use crate::decision::Decision;
use crate::machine::{Machine, MachineId};
use crate::unit::Unit;

/// Machines and units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    machines: BTreeMap<MachineId, Machine>,
    units: BTreeMap<UnitName, Unit>,
}

impl View {
    /// Puts a machine in, in place of the one with its id.
    pub fn insert_machine(&mut self, machine: Machine) -> Option<Machine> {
        self.machines.insert(machine.id.clone(), machine)
    }

    /// Puts a unit in, in place of the one with its name.
    pub fn insert_unit(&mut self, unit: Unit) -> Option<Unit> {
        self.units.insert(unit.name.clone(), unit)
    }

    /// Takes a machine out.
    pub fn remove_machine(&mut self, id: &MachineId) -> Option<Machine> {
        self.machines.remove(id)
    }

    /// Takes a unit out.
    pub fn remove_unit(&mut self, name: &UnitName) -> Option<Unit> {
        self.units.remove(name)
    }

    /// By id.
    pub fn machine(&self, id: &MachineId) -> Option<&Machine> {
        self.machines.get(id)
    }

    /// By name.
    pub fn unit(&self, name: &UnitName) -> Option<&Unit> {
        self.units.get(name)
    }

    /// All of them, by id.
    pub fn machines(&self) -> impl ExactSizeIterator<Item = &Machine> {
        self.machines.values()
    }

    /// All of them, by name.
    pub fn units(&self) -> impl ExactSizeIterator<Item = &Unit> {
        self.units.values()
    }

    /// Carries a decision out in this view: for a dry run, and for tests.
    pub fn apply(&mut self, decision: &Decision) {
        let Some(unit) = self.units.get_mut(decision.unit()) else {
            return;
        };
        if decision.target().is_some() {
            unit.moving = None;
        }
        match decision {
            Decision::Place { machine, .. } => {
                unit.placed_on.insert(machine.clone());
            }
            Decision::Remove { machine, .. } => {
                unit.placed_on.remove(machine);
            }
            Decision::Move { from, to, .. } => {
                unit.placed_on.remove(from);
                unit.placed_on.insert(to.clone());
            }
        }
    }
}

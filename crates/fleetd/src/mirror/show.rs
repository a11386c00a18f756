//! Records as clients see them.
//!
//! fleet's rules for what a unit's current state is stand here.

use fleet_api::{Availability, Machine, Rollout, Unit, UnitState};
use fleet_model::{MachineId, State};
use fleet_store::{MachineAvailability, UnitStatus};
use systemd_unit::UnitName;

use super::records::{MachineEntry, Records};

impl Records {
    /// Every unit, by name.
    pub(crate) fn units(&self) -> impl Iterator<Item = Unit> {
        self.units.keys().filter_map(|name| self.unit(name))
    }

    /// A unit with its options.
    pub(crate) fn unit(&self, name: &UnitName) -> Option<Unit> {
        let mut unit = self.unit_without_options(name)?;
        let contents = self.contents_of(name)?;
        unit.options.clone_from(&contents.options);
        unit.drop_ins.clone_from(&contents.drop_ins);
        Some(unit)
    }

    /// Everything but its options.
    pub(crate) fn unit_without_options(&self, name: &UnitName) -> Option<Unit> {
        let entry = self.units.get(name)?;
        let record = entry.record.as_ref()?;
        let is_global = self.is_global(name);
        let machine = self.place(name).filter(|_| !is_global);
        let status = machine.and_then(|id| entry.states.get(id));
        let current = status.map_or(State::Inactive, |status| status.reached);
        Some(Unit {
            name: name.to_string(),
            desired_state: Some(record.desired),
            current_state: Some(current),
            machine_id: machine.map(ToString::to_string).unwrap_or_default(),
            rollout: record.rollout.as_ref().map(|rollout| Rollout {
                machines: rollout.machines.iter().map(ToString::to_string).collect(),
            }),
            ..Unit::default()
        })
    }

    /// The machine that shall have a unit, if it is one alone.
    pub(crate) fn place(&self, name: &UnitName) -> Option<&MachineId> {
        self.units.get(name)?.targets.keys().next()
    }

    /// Whether a unit runs on every machine.
    pub(crate) fn is_global(&self, name: &UnitName) -> bool {
        let contents = self.contents_of(name);
        contents.is_some_and(|contents| contents.is_global)
    }

    /// The states of all units, by name and machine.
    pub(crate) fn states(&self) -> impl Iterator<Item = UnitState> {
        self.units.iter().flat_map(|(name, entry)| {
            let states = entry.states.iter();
            states.map(|(machine, status)| unit_state(name, machine, status))
        })
    }

    /// How a unit is on a machine.
    pub(crate) fn state(&self, machine: &MachineId, name: &UnitName) -> Option<UnitState> {
        let status = self.units.get(name)?.states.get(machine)?;
        Some(unit_state(name, machine, status))
    }

    /// What hinders a machine with a unit; nothing most of the time.
    pub(crate) fn problem(&self, machine: &MachineId, name: &UnitName) -> String {
        let entry = self.units.get(name);
        let status = entry.and_then(|entry| entry.states.get(machine));
        status
            .map(|status| status.problem.clone())
            .unwrap_or_default()
    }

    /// Every machine that is alive, by id.
    pub(crate) fn machines(&self) -> impl Iterator<Item = Machine> {
        self.machines.keys().filter_map(|id| self.machine(id))
    }

    /// A machine, if it is alive.
    pub(crate) fn machine(&self, id: &MachineId) -> Option<Machine> {
        let entry = self.machines.get(id)?;
        entry.alive.as_ref()?;
        Some(machine(id, entry))
    }

    /// The machines that have a unit, or shall have it.
    pub(crate) fn machines_of(&self, name: &UnitName) -> Vec<MachineId> {
        let Some(entry) = self.units.get(name) else {
            return Vec::new();
        };
        let mut found: Vec<MachineId> = entry.targets.keys().cloned().collect();
        found.extend(entry.states.keys().cloned());
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn machine(id: &MachineId, entry: &MachineEntry) -> Machine {
    let record = entry.record.clone().unwrap_or_default();
    Machine {
        availability: match entry.settings.availability {
            MachineAvailability::Open => Availability::Open,
            MachineAvailability::Cordoned => Availability::Cordoned,
            MachineAvailability::Draining => Availability::Draining,
        },
        capacity: record.capacity.into(),
        id: id.to_string(),
        metadata: record.metadata_under(&entry.settings),
        primary_ip: record.primary_ip,
        version: record.version,
    }
}

fn unit_state(name: &UnitName, machine: &MachineId, status: &UnitStatus) -> UnitState {
    UnitState {
        hash: status.hash.clone(),
        machine_id: machine.to_string(),
        name: name.to_string(),
        problem: status.problem.clone(),
        systemd_active_state: status.active.clone(),
        systemd_invocation_id: status.invocation.clone(),
        systemd_load_state: status.load.clone(),
        systemd_sub_state: status.sub.clone(),
    }
}

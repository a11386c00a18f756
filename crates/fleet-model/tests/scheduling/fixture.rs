//! Views in few words.
//!
//! It decides nothing.

use std::collections::BTreeMap;

use fleet_model::{
    Availability, Capacity, Decision, FleetOptions, Machine, MachineId, Schedule, State, Unit,
    View, schedule,
};
use systemd_unit::{UnitFile, UnitName};

pub(crate) fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

pub(crate) fn machine(id: &str, metadata: &[(&str, &str)]) -> Machine {
    let pairs = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Machine {
        id: MachineId::new(id),
        metadata: pairs.collect::<BTreeMap<_, _>>(),
        capacity: Capacity::default(),
        availability: Availability::Open,
    }
}

pub(crate) fn unit(text: &str, options: &str) -> Unit {
    let file = UnitFile::parse(format!("[X-Fleet]\n{options}")).unwrap();
    let name = name(text);
    let options = FleetOptions::parse(&name, file.assignments()).unwrap();
    Unit::new(name, options, State::Launched)
}

pub(crate) fn view(machines: &[&str], units: &[(&str, &str)]) -> View {
    let mut view = View::default();
    for id in machines {
        view.insert_machine(machine(id, &[]));
    }
    for (name, options) in units {
        view.insert_unit(unit(name, options));
    }
    view
}

pub(crate) fn set(view: &mut View, id: &str, availability: Availability) {
    let mut machine = view.machine(&MachineId::new(id)).unwrap().clone();
    machine.availability = availability;
    view.insert_machine(machine);
}

/// Carries decisions out, and lets every living machine do what it is told.
pub(crate) fn carry_out(view: &mut View, found: &Schedule) {
    for decision in &found.decisions {
        view.apply(decision);
    }
    let units: Vec<Unit> = view.units().cloned().collect();
    for mut unit in units {
        let is_alive = |id: &MachineId| view.machine(id).is_some_and(Machine::is_alive);
        unit.present_on = unit
            .placed_on
            .iter()
            .filter(|id| is_alive(id))
            .cloned()
            .collect();
        view.insert_unit(unit);
    }
}

/// Schedules until nothing changes; returns all decisions.
pub(crate) fn settle(view: &mut View) -> Vec<Decision> {
    let mut all = Vec::new();
    for _ in 0..50 {
        let found = schedule(view);
        if found.decisions.is_empty() {
            return all;
        }
        carry_out(view, &found);
        all.extend(found.decisions);
    }
    panic!("no end: {:?}", schedule(view).decisions);
}

/// Where a unit is placed.
pub(crate) fn places(view: &View, unit: &str) -> Vec<String> {
    let unit = view.unit(&name(unit)).unwrap();
    unit.placed_on.iter().map(ToString::to_string).collect()
}

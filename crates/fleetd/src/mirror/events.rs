//! What a change means to a client that listens.
//!
//! A change that clients cannot see is no event.

use fleet_api::{Event, EventRecord};
use fleet_model::MachineId;
use fleet_store::{Change, Layout, ValueError};
use systemd_unit::UnitName;

use super::records::{Records, Subject};

/// Everything there is, then that it is all.
pub(super) fn all(records: &Records) -> Vec<EventRecord> {
    let machines = records.machines().map(|machine| Event::Machine { machine });
    let units = records.units().map(|unit| Event::Unit { unit });
    let states = records.states().map(|state| Event::State { state });
    let events = machines.chain(units).chain(states);
    let revision = records.revision;
    events
        .chain([Event::Synced])
        .map(|event| EventRecord { revision, event })
        .collect()
}

/// Takes a change in, and tells what clients see of it.
pub(super) fn apply(
    records: &mut Records,
    layout: &Layout,
    change: &Change,
) -> (Vec<Event>, Result<(), ValueError>) {
    let key = layout.parse(change.key());
    let name = key.as_ref().and_then(unit_of).cloned();
    let machine = key.as_ref().and_then(machine_of).cloned();
    let unit_before = name
        .as_ref()
        .and_then(|name| records.unit_without_options(name));
    let hash_before = name.as_ref().and_then(|name| hash(records, name));
    let machine_before = machine.as_ref().and_then(|id| records.machine(id));
    let (subject, read) = records.apply(layout, change);
    let mut events = Vec::new();
    match &subject {
        Subject::State(machine, name) => events.push(match records.state(machine, name) {
            Some(state) => Event::State { state },
            None => Event::StateGone {
                name: name.to_string(),
                machine_id: machine.to_string(),
            },
        }),
        Subject::Machine(id) => {
            let after = records.machine(id);
            if after != machine_before {
                events.push(machine_event(id, after));
            }
        }
        Subject::Unit(_) | Subject::Nothing => {}
    }
    if let Some(name) = name {
        let is_new = hash(records, &name) != hash_before;
        let after = records.unit_without_options(&name);
        if is_new || after != unit_before {
            events.extend(unit_event(records, &name, is_new));
        }
    }
    (events, read)
}

fn hash(records: &Records, name: &UnitName) -> Option<String> {
    let record = records.units.get(name)?.record.as_ref()?;
    Some(record.hash.clone())
}

fn unit_event(records: &Records, name: &UnitName, is_new: bool) -> Option<Event> {
    let unit = if is_new {
        records.unit(name)
    } else {
        records.unit_without_options(name)
    };
    let is_there = records
        .units
        .get(name)
        .is_some_and(|entry| entry.record.is_some());
    match unit {
        Some(unit) => Some(Event::Unit { unit }),
        // A unit that was put before its contents were read is told with them.
        None if is_there => None,
        None => Some(Event::UnitGone {
            name: name.to_string(),
        }),
    }
}

fn machine_event(id: &MachineId, machine: Option<fleet_api::Machine>) -> Event {
    match machine {
        Some(machine) => Event::Machine { machine },
        None => Event::MachineGone { id: id.to_string() },
    }
}

fn unit_of(key: &fleet_store::Key) -> Option<&UnitName> {
    use fleet_store::Key;
    match key {
        Key::Unit(name) | Key::Target(_, name) | Key::State(_, name) => Some(name),
        _ => None,
    }
}

fn machine_of(key: &fleet_store::Key) -> Option<&MachineId> {
    use fleet_store::Key;
    match key {
        Key::Alive(id) | Key::Record(id) | Key::Settings(id) => Some(id),
        _ => None,
    }
}

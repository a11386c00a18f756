//! What large clusters cost, counted in machines and names looked at.
//!
//! Times depend on the machine: `soak_` prints one.

use fleet_model::{Availability, Fence, MachineId, Schedule, View, schedule};

use crate::fixture::{carry_out, machine, set, unit};

const MACHINES: usize = 1000;
const UNITS: usize = 10_000;

/// Every third unit excludes its likes, every third wants a rare machine, some reserve.
fn large() -> View {
    let mut view = View::default();
    for n in 0..MACHINES {
        let zone = format!("z{}", n % 10);
        let role = if n % 100 == 0 { "rare" } else { "common" };
        let mut machine = machine(&format!("m{n:04}"), &[("zone", &zone), ("role", role)]);
        machine.capacity.memory = Some(64 << 30);
        view.insert_machine(machine);
    }
    for n in 0..UNITS {
        let (group, name) = (n / 30, format!("u{}@{n}.service", n / 30));
        let options = match n % 3 {
            0 => format!("Conflicts=u{group}@*.service"),
            1 if n % 30 == 1 => "MachineMetadata=role=rare".to_owned(),
            1 => "MachineMetadata=\"zone=z1\" \"zone=z2\"".to_owned(),
            _ if n % 30 == 2 => "Spread=zone".to_owned(),
            _ => "ReserveMemory=1G".to_owned(),
        };
        view.insert_unit(unit(&name, &options));
    }
    view
}

fn work_per_unit(found: &Schedule) -> u64 {
    found.work / UNITS as u64
}

#[test]
fn ten_thousand_units_are_placed_with_little_work() {
    let mut view = large();
    let found = schedule(&view);
    assert_eq!((found.decisions.len(), found.unplaced.len()), (UNITS, 0));
    assert!(work_per_unit(&found) < 40, "{}", found.work);
    carry_out(&mut view, &found);
    let settled = schedule(&view);
    assert_eq!(settled.decisions, []);
    assert!(work_per_unit(&settled) < 20, "{}", settled.work);
    let lost = MachineId::new("m0501");
    let had = view.units().filter(|unit| unit.placed_on.contains(&lost));
    let had = had.count();
    set(&mut view, lost.as_str(), Availability::Lost(Fence::Elapsed));
    let moved = schedule(&view);
    assert!(
        had > 0 && moved.decisions.len() == had,
        "the units of one machine, and no others"
    );
    assert!(work_per_unit(&moved) < 20, "{}", moved.work);
}

#[test]
fn units_without_hope_cost_little() {
    let mut view = large();
    for n in 0..UNITS {
        let name = format!("hopeless@{n}.service");
        view.insert_unit(unit(&name, "MachineMetadata=zone=z1\nReserveMemory=100G"));
    }
    let found = schedule(&view);
    assert_eq!(found.unplaced.len(), UNITS);
    assert!(work_per_unit(&found) < 60, "{}", found.work);
}

#[test]
fn soak_times_of_large_clusters() {
    let view = large();
    let start = std::time::Instant::now();
    let found = schedule(&view);
    eprintln!(
        "{UNITS} units over {MACHINES} machines: {:?}, {} looked at",
        start.elapsed(),
        found.work
    );
}

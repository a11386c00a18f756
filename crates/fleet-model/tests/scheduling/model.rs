//! Random clusters over many steps, and what must hold after every one.
//!
//! Runs are repeatable: each has its seed, which a failure names.

use std::collections::BTreeMap;

use fleet_model::{Explanation, MachineId, explain, schedule};
use systemd_unit::UnitName;

use crate::simulation::{Link, Simulation, stops};

const SEEDS: u64 = 60;
const STEPS: usize = 250;

#[test]
fn invariants_hold_after_every_step() {
    let (mut moves, mut most) = (0, 0);
    for seed in 0..SEEDS {
        let mut simulation = Simulation::new(seed);
        for step in 0..STEPS {
            moves += do_something(&mut simulation);
            check(&simulation, &format!("seed {seed}, step {step}"));
            if step % 50 == 49 {
                converge(&mut simulation, &format!("seed {seed}, step {step}"));
            }
        }
        most = most.max(simulation.view.units().len());
    }
    assert!(
        moves > 1000 && most > 20,
        "too little happened: {moves} decisions, {most} units"
    );
}

fn do_something(simulation: &mut Simulation) -> usize {
    match simulation.rng.u8(0..10) {
        0..=2 => simulation.disturb(),
        3 => simulation.tick(),
        4..=5 => return simulation.decide().decisions.len(),
        _ => {
            let ids: Vec<MachineId> = simulation.nodes.keys().cloned().collect();
            let at = simulation.rng.usize(0..ids.len());
            simulation.act(&ids[at]);
        }
    }
    0
}

fn check(simulation: &Simulation, when: &str) {
    let mut runs: BTreeMap<&UnitName, Vec<&MachineId>> = BTreeMap::new();
    for (id, node) in &simulation.nodes {
        for unit in &node.running {
            runs.entry(unit).or_default().push(id);
        }
        check_machine(simulation, id, when);
    }
    for (unit, machines) in runs {
        check_unit(simulation, unit, &machines, when);
    }
}

/// No unit runs twice unless it is global, or was kept through a partition.
fn check_unit(simulation: &Simulation, name: &UnitName, machines: &[&MachineId], when: &str) {
    let unit = simulation.view.unit(name);
    if unit.is_none_or(|unit| unit.options.is_global()) {
        return; // a destroyed unit is started nowhere any more
    }
    let is_reachable = |id: &&&MachineId| simulation.nodes[**id].link == Link::Up;
    let reachable = machines.iter().filter(is_reachable).count();
    assert!(reachable <= 1, "{when}: {name} runs on {machines:?}");
    if stops(&simulation.view, name) {
        assert!(
            machines.len() <= 1,
            "{when}: {name} stops and runs on {machines:?}"
        );
    }
    let still_held = |id: &&&MachineId| !simulation.is_lost(id);
    let held = machines.iter().filter(still_held).count();
    assert!(
        held <= 1,
        "{when}: {name} runs twice, and not for a lost machine: {machines:?}"
    );
}

/// No conflict is broken and no reservation exceeded by what runs.
fn check_machine(simulation: &Simulation, id: &MachineId, when: &str) {
    let running = &simulation.nodes[id].running;
    let units: Vec<_> = running
        .iter()
        .filter_map(|name| simulation.view.unit(name))
        .collect();
    let memory: u64 = units
        .iter()
        .map(|unit| unit.options.reservation.memory)
        .sum();
    let capacity = simulation
        .view
        .machine(id)
        .unwrap()
        .capacity
        .memory
        .unwrap();
    assert!(
        memory <= capacity,
        "{when}: {id} has {memory} of {capacity}"
    );
    for one in &units {
        let globs = one.options.conflicts.iter().chain(one.options.replaces());
        for glob in globs {
            let other = units
                .iter()
                .find(|other| other.name != one.name && glob.matches(other.name.as_str()));
            let names = other.map(|other| (&one.name, &other.name));
            assert_eq!(names, None, "{when}: on {id}");
        }
    }
}

/// When faults stop, decisions do too, and what is not placed cannot be.
fn converge(simulation: &mut Simulation, when: &str) {
    simulation.calm_down();
    let ids: Vec<MachineId> = simulation.nodes.keys().cloned().collect();
    let mut rounds = 0;
    loop {
        let decisions = simulation.decide().decisions.len();
        check(simulation, when);
        let mut has_acted = false;
        for id in &ids {
            while simulation.act(id) {
                has_acted = true;
                check(simulation, when);
            }
        }
        if decisions == 0 && !has_acted {
            break;
        }
        rounds += 1;
        assert!(
            rounds < 100,
            "{when}: no end: {:?}",
            schedule(&simulation.view).decisions
        );
    }
    check_settled(simulation, when);
}

fn check_settled(simulation: &Simulation, when: &str) {
    let found = schedule(&simulation.view);
    assert_eq!(
        (&found.decisions[..], &found.waiting[..]),
        (&[][..], &[][..]),
        "{when}"
    );
    for unit in simulation.view.units() {
        let is_unplaced = found.unplaced.contains(&unit.name);
        let explanation = explain(&simulation.view, &unit.name);
        if is_unplaced {
            assert!(
                !explanation.is_placeable(),
                "{when}: {} {explanation:?}",
                unit.name
            );
        }
        if unit.is_wanted() && !is_unplaced && !unit.options.is_global() {
            assert_eq!(unit.placed_on.len(), 1, "{when}: {}", unit.name);
        }
        if let Explanation::Machines(machines) = &explanation {
            for (id, refusals) in machines
                .iter()
                .filter(|(id, _)| unit.placed_on.contains(id))
            {
                assert_eq!(refusals, &[], "{when}: {} stays on {id}", unit.name);
            }
        }
        if !unit.is_wanted() {
            assert!(unit.placed_on.is_empty(), "{when}: {}", unit.name);
        }
    }
}

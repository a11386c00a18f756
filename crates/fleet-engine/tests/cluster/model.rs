//! Random clusters with random faults, and what must hold after every step.
//!
//! Runs are repeatable: each has its seed, which a failure names; `FLEET_SEED` runs one alone.

use std::time::Duration;

use fleet_model::{MachineId, State, explain, schedule};
use fleet_store::{Key, MachineAvailability};
use systemd_unit::UnitName;

use crate::world::World;

const STEPS: usize = 60;
/// What an automatic run may take; at least one seed is run.
const TIME: Duration = Duration::from_secs(25);

/// Runs seeds until the time is up; gives their number and how many starts there were.
fn run_seeds(first: u64, count: u64, time: Duration) -> (u64, usize) {
    let begun = std::time::Instant::now();
    let mut starts = 0;
    for seed in first..first + count {
        starts += run_seed(seed, STEPS).0;
        if begun.elapsed() > time {
            return (seed + 1 - first, starts);
        }
    }
    (count, starts)
}

/// How many starts there were, and what the store held in the end.
fn run_seed(seed: u64, steps: usize) -> (usize, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    eprintln!("seed {seed}");
    runtime.block_on(run(seed, steps))
}

#[test]
fn invariants_hold_after_every_step() {
    let only = std::env::var("FLEET_SEED").ok();
    let only = only.map(|text| text.parse().expect("FLEET_SEED is a number"));
    let (seeds, starts) = match only {
        Some(seed) => run_seeds(seed, 1, TIME),
        None => run_seeds(0, 60, TIME),
    };
    eprintln!("{seeds} seeds, {starts} starts");
    let expected = 20 * usize::try_from(seeds).expect("there are few");
    assert!(starts > expected, "too little happened: {starts} starts");
}

#[test]
fn soak_invariants_hold_for_many_seeds() {
    let (seeds, starts) = run_seeds(1000, 5000, Duration::from_mins(10));
    eprintln!("{seeds} seeds, {starts} starts");
}

/// A seed that failed can be looked at again.
#[test]
fn equal_seeds_give_equal_histories() {
    assert_eq!(run_seed(4, STEPS / 2), run_seed(4, STEPS / 2));
}

async fn run(seed: u64, steps: usize) -> (usize, String) {
    let mut world = World::new(seed, 4, 3).await;
    for step in 0..steps {
        let what = disturb(&mut world);
        let when = format!("seed {seed}, step {step}: {what}");
        let pause = Duration::from_millis(world.rng.u64(0..2500));
        world.pass(pause, &when).await;
        if step % 30 == 29 {
            settle(&mut world, &format!("seed {seed}, settled at step {step}")).await;
        }
    }
    let starts = world.ground.lock().unwrap().starts;
    (starts, world.describe())
}

fn any_machine(world: &mut World) -> MachineId {
    let ids: Vec<MachineId> = world.machines.keys().cloned().collect();
    ids[world.rng.usize(0..ids.len())].clone()
}

fn any_unit(world: &mut World) -> Option<UnitName> {
    let units = world.units();
    let at = (!units.is_empty()).then(|| world.rng.usize(0..units.len()));
    at.map(|at| units[at].clone())
}

/// Something happens.
fn disturb(world: &mut World) -> String {
    match world.rng.u8(0..24) {
        0..=7 => put_a_unit(world),
        8..=11 => change_a_unit(world),
        12 => {
            if world.machines.len() < 7 {
                world.add_machine();
            }
            "a machine more".to_owned()
        }
        13 => operate(world),
        14..=17 => disturb_a_machine(world),
        18..=22 => disturb_an_engine(world),
        _ => {
            world.store.compact();
            "compacted".to_owned()
        }
    }
}

fn put_a_unit(world: &mut World) -> String {
    let n = world.rng.usize(0..16);
    let (group, peer) = (n % 3, world.rng.usize(0..16));
    let is_own = peer == n;
    let options = match world.rng.u8(0..10) {
        0 => format!("Conflicts=g{group}@*.service"),
        1 if !is_own => format!("MachineOf=g{}@{peer}.service", peer % 3),
        2 => "Global=yes\nReserveMemory=100".to_owned(),
        3 => "MachineMetadata=\"zone=a\" \"zone=b\"\nReserveMemory=300".to_owned(),
        4 if !is_own => format!("Replaces=g{}@{peer}.service", peer % 3),
        5 => "Spread=zone".to_owned(),
        6 => "MachineID=m1".to_owned(),
        _ => "ReserveMemory=200".to_owned(),
    };
    let policy = ["keep", "stop"][world.rng.usize(0..2)];
    let name = format!("g{group}@{n}.service");
    let states = [
        State::Launched,
        State::Launched,
        State::Launched,
        State::Loaded,
    ];
    let state = states[world.rng.usize(0..states.len())];
    world.put_unit(&name, &format!("{options}\nOnPartition={policy}"), state);
    format!("{name} {state} {options:?} {policy}")
}

fn change_a_unit(world: &mut World) -> String {
    let Some(unit) = any_unit(world) else {
        return "nothing".to_owned();
    };
    let to = world.rng.bool().then(|| any_machine(world));
    match world.rng.u8(0..4) {
        0 => {
            world.destroy(&unit);
            format!("{} destroyed", unit.as_str())
        }
        1 => {
            world.ask_to_move(&unit, to.clone());
            format!("{} moves to {to:?}", unit.as_str())
        }
        state => {
            let state = [State::Inactive, State::Launched][usize::from(state) - 2];
            world.change_unit(&unit, |record| record.desired = state);
            format!("{} {state}", unit.as_str())
        }
    }
}

fn operate(world: &mut World) -> String {
    let id = any_machine(world);
    let all = [
        MachineAvailability::Open,
        MachineAvailability::Cordoned,
        MachineAvailability::Draining,
    ];
    let availability = all[world.rng.usize(0..all.len())];
    world.set_availability(&id, availability);
    format!("{id} {availability:?}")
}

fn disturb_a_machine(world: &mut World) -> String {
    let id = any_machine(world);
    let what = match world.rng.u8(0..9) {
        7.. => {
            let percent = world.rng.u8(0..60);
            world.set_loss(&id, percent);
            "loses changes"
        }
        0 | 1 => {
            world.set_link(&id, true);
            "cut"
        }
        2 => {
            world.set_link(&id, false);
            "mended"
        }
        3 => {
            world.switch_off(&id);
            "off"
        }
        4 => {
            world.switch_on(&id);
            "on"
        }
        5 => {
            world.restart_agent(&id);
            "has a new agent"
        }
        _ => {
            world.end_lease(&id);
            "loses its lease"
        }
    };
    format!("{id} {what}")
}

fn disturb_an_engine(world: &mut World) -> String {
    let n = world.rng.usize(0..world.engines.len());
    let what = match world.rng.u8(0..8) {
        5.. => {
            let percent = world.rng.u8(0..60);
            world.set_engine_loss(n, percent);
            "loses changes"
        }
        0 => {
            world.kill_engine(n);
            "killed"
        }
        1 | 2 => {
            world.set_engine_link(n, true);
            "cut"
        }
        3 => {
            world.set_engine_link(n, false);
            "mended"
        }
        _ => {
            world.start_engine(n);
            "started"
        }
    };
    format!("engine {n} {what}")
}

/// Faults stop; then so do changes, and everything is where it should be.
async fn settle(world: &mut World, when: &str) {
    let ids: Vec<MachineId> = world.machines.keys().cloned().collect();
    for id in &ids {
        world.set_link(id, false);
        world.set_loss(id, 0);
        world.switch_on(id);
        world.set_availability(id, MachineAvailability::Open);
    }
    for n in 0..world.engines.len() {
        world.set_engine_link(n, false);
        world.set_engine_loss(n, 0);
        world.start_engine(n);
    }
    // Requests that strayed, leases that nobody keeps, engines that pause.
    world.pass(Duration::from_secs(20), when).await;
    world.until(when, |world| unsettled(world).is_none()).await;
    world.pass(Duration::from_secs(5), when).await;
    let left = unsettled(world);
    assert_eq!(left, None, "{when}: it does not stay so");
}

/// What is not as it should be in the end.
fn unsettled(world: &World) -> Option<String> {
    let mirror = world.mirror();
    let view = mirror.view();
    let found = schedule(view);
    let left = (found.decisions.len(), found.waiting.len());
    if left != (0, 0) || view.machines().any(|machine| !machine.is_alive()) {
        return Some(format!("decisions and waits: {left:?}"));
    }
    let explained = |name: &&UnitName| explain(view, name).is_placeable();
    if let Some(name) = found.unplaced.iter().find(explained) {
        return Some(format!("{} could be placed", name.as_str()));
    }
    let ground = world.ground.lock().unwrap();
    for (id, node) in &ground.nodes {
        for name in node.running.keys() {
            let unit = view.unit(name);
            if !unit.is_some_and(|unit| unit.placed_on.contains(id)) {
                return Some(format!("{} runs on {id}", name.as_str()));
            }
        }
    }
    for unit in view.units() {
        let record = world
            .store
            .look(&fleet_store::Keys::One(world.layout.unit(&unit.name)));
        let is_wrong = |id: &MachineId| {
            let running = ground.nodes[id].running.get(&unit.name);
            running.is_some() != (unit.desired == State::Launched)
        };
        if unit.placed_on != unit.present_on || unit.placed_on.iter().any(is_wrong) {
            return Some(format!("{} is not where it should be", unit.name.as_str()));
        }
        let has_moved = unit.moving.is_none() || unit.placed_on.is_empty();
        if record.is_empty() || !has_moved {
            return Some(format!("{} has not gone, or not moved", unit.name.as_str()));
        }
    }
    drop(ground);
    stale_contents(world)
}

/// Contents that nobody needs, or that somebody still has.
fn stale_contents(world: &World) -> Option<String> {
    let ground = world.ground.lock().unwrap();
    let text_of = |key| world.store.look(&fleet_store::Keys::One(key)).pop();
    let mut used = std::collections::BTreeSet::new();
    for name in world.units() {
        let record = text_of(world.layout.unit(&name))?;
        let record: fleet_store::UnitRecord = fleet_store::Value::from_pair(&record).ok()?;
        let nodes = ground.nodes.values();
        let mut running = nodes.filter_map(|node| node.running.get(&name));
        if running.any(|running| running.hash != record.hash) {
            return Some(format!("{} runs with old contents", name.as_str()));
        }
        used.insert(record.hash);
    }
    let pairs = world.store.look(&world.layout.everything());
    let mut keys = pairs
        .iter()
        .filter_map(|pair| world.layout.parse(&pair.key));
    keys.find_map(|key| match key {
        Key::Contents(hash) if !used.contains(&hash) => Some(format!("contents {hash}")),
        _ => None,
    })
}

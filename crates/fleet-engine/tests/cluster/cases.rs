//! One behaviour a test.
//!
//! Faults in combination are in `model`.

use std::time::Duration;

use fleet_model::{Availability, Fence, MachineId, State};
use fleet_store::{
    Condition, Keys, Layout, Leadership, MachineAvailability, Operation, Outcome, Rollout,
    Transaction, Value,
};
use tokio::time::Instant;

use crate::agent::TTL;
use crate::world::{World, hash, id, name};

const LAUNCHED: State = State::Launched;

async fn runs(world: &mut World, unit: &str, machine: &str) {
    let what = format!("{unit} runs on {machine}");
    let (unit, machines) = (name(unit), vec![machine.to_owned()]);
    world
        .until(&what, |world| world.runs_on(&unit) == machines)
        .await;
}

/// A world whose machines are all there, with a leader.
async fn world(machines: usize, engines: usize) -> World {
    let mut world = World::new(3, machines, engines).await;
    let alive = |world: &World| {
        let mirror = world.mirror();
        mirror
            .view()
            .machines()
            .filter(|one| one.is_alive())
            .count()
    };
    let is_ready =
        |world: &World| alive(world) == machines && (engines == 0 || leader(world).is_some());
    world.until("machines and a leader", is_ready).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_started_at_once_and_stopped() {
    let mut world = world(2, 1).await;
    world.pass(Duration::from_secs(5), "it leads").await;
    world.put_unit("a.service", "", LAUNCHED);
    let begun = Instant::now();
    runs(&mut world, "a.service", "m0").await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    world.change_unit(&name("a.service"), |unit| unit.desired = State::Inactive);
    world
        .until("it stops", |world| {
            world.runs_on(&name("a.service")).is_empty()
        })
        .await;
    world.destroy(&name("a.service"));
    let rest = |world: &World| world.store.look(&world.layout.everything());
    let is_its = |key: &str| key.contains("a.service") || key.contains("/contents/");
    let is_clean = |world: &World| !rest(world).iter().any(|pair| is_its(&pair.key));
    world.until("nothing is left of it", is_clean).await;
}

#[tokio::test(start_paused = true)]
async fn new_contents_reach_the_machine_and_old_ones_go() {
    let mut world = world(1, 1).await;
    world.put_unit("a.service", "OnPartition=keep", LAUNCHED);
    runs(&mut world, "a.service", "m0").await;
    world.put_unit("a.service", "OnPartition=stop", LAUNCHED);
    let has = |world: &World, hash: &str| {
        let ground = world.ground.lock().unwrap();
        let running = ground.nodes[&id("m0")].running.get(&name("a.service"));
        running.is_some_and(|running| running.hash == hash)
    };
    let new = hash("OnPartition=stop");
    world
        .until("it has the new contents", |world| has(world, &new))
        .await;
    let old = Keys::One(world.layout.contents(&hash("OnPartition=keep")));
    world
        .until("the old ones are gone", |world| {
            world.store.look(&old).is_empty()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_global_units_new_contents_come_to_the_machines_that_are_named() {
    let (old, new) = (
        "Global=yes\nOnPartition=keep",
        "Global=yes\nOnPartition=stop",
    );
    let mut world = world(3, 1).await;
    world.put_unit("a.service", old, LAUNCHED);
    let unit = name("a.service");
    let have = |world: &World, hashes: [&str; 3]| {
        let ground = world.ground.lock().unwrap();
        let has = |n: usize| {
            let running = ground.nodes[&id(&format!("m{n}"))].running.get(&unit);
            running.is_some_and(|running| running.hash == hash(hashes[n]))
        };
        (0..3).all(has)
    };
    let all_old = |world: &World| have(world, [old; 3]);
    world.until("all have it", all_old).await;
    world.put_unit("a.service", new, LAUNCHED);
    let from = hash(old);
    let roll_out = |world: &World, machines: &[&str]| {
        let machines = machines.iter().map(|text| id(text)).collect();
        let from = from.clone();
        world.change_unit(&unit, |record| {
            record.rollout = Some(Rollout { from, machines });
        });
    };
    roll_out(&world, &["m1"]);
    let one = |world: &World| have(world, [old, new, old]);
    world.until("one has the new contents", one).await;
    world
        .pass(Duration::from_mins(2), "nothing more happens")
        .await;
    assert!(have(&world, [old, new, old]), "the old contents are kept");
    roll_out(&world, &["m1", "m2"]);
    let two = |world: &World| have(world, [old, new, new]);
    world.until("two have the new contents", two).await;
    world.change_unit(&unit, |record| record.rollout = None);
    let all_new = |world: &World| have(world, [new; 3]);
    world.until("all have the new contents", all_new).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_machines_units_go_elsewhere_and_those_that_stop_later() {
    let mut world = world(2, 1).await;
    world.put_unit(
        "keep.service",
        "MachineMetadata=\"zone=a\" \"zone=b\"",
        LAUNCHED,
    );
    runs(&mut world, "keep.service", "m0").await;
    world.put_unit("other.service", "", LAUNCHED);
    runs(&mut world, "other.service", "m1").await;
    world.put_unit("stop.service", "OnPartition=stop", LAUNCHED);
    runs(&mut world, "stop.service", "m0").await;
    world.set_link(&id("m0"), true);
    let begun = Instant::now();
    let keep = name("keep.service");
    let both = |world: &World| world.runs_on(&keep).len() == 2;
    world.until("what is kept runs twice", both).await;
    let (early, late) = (begun.elapsed(), begun + 2 * TTL);
    assert!(
        early >= TTL / 2 && early < TTL + Duration::from_secs(1),
        "{early:?}"
    );
    let stop = name("stop.service");
    world
        .until("what stops is dead", |world| {
            world.runs_on(&stop).is_empty()
        })
        .await;
    assert!(begun.elapsed() < TTL + Duration::from_secs(1));
    runs(&mut world, "stop.service", "m1").await;
    assert!(Instant::now() < late + Duration::from_secs(2));
    world.set_link(&id("m0"), false);
    runs(&mut world, "keep.service", "m1").await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_left_in_order_is_not_waited_for() {
    let mut world = world(1, 0).await;
    let layout = world.layout.clone();
    let fence = |world: &World| {
        let mirror = world.mirror();
        mirror
            .view()
            .machine(&id("m0"))
            .map(|machine| machine.availability)
    };
    world.switch_off(&id("m0"));
    world.end_lease(&id("m0"));
    assert_eq!(fence(&world), Some(Availability::Lost(Fence::Pending)));
    let record = fleet_store::MachineRecord::default();
    let put = Operation::put(layout.record(&id("m0")), record.to_bytes());
    let condition = Condition::Absent(layout.alive(&id("m0")));
    world.store.put_through(&Transaction::new(condition, put));
    assert_eq!(fence(&world), Some(Availability::Lost(Fence::Elapsed)));
    world.pass(Duration::ZERO, "off").await;
}

#[tokio::test(start_paused = true)]
async fn a_drained_machine_is_left_and_a_cordoned_one_not() {
    let mut world = world(2, 1).await;
    world.put_unit("a.service", "", LAUNCHED);
    runs(&mut world, "a.service", "m0").await;
    world.set_availability(&id("m0"), MachineAvailability::Cordoned);
    world.put_unit("b.service", "", LAUNCHED);
    world.put_unit("c.service", "", LAUNCHED);
    runs(&mut world, "c.service", "m1").await;
    runs(&mut world, "b.service", "m1").await;
    runs(&mut world, "a.service", "m0").await;
    world.set_availability(&id("m0"), MachineAvailability::Draining);
    runs(&mut world, "a.service", "m1").await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_moves_when_asked_to() {
    let mut world = world(3, 1).await;
    world.put_unit("a.service", "", LAUNCHED);
    runs(&mut world, "a.service", "m0").await;
    world.ask_to_move(&name("a.service"), Some(id("m2")));
    runs(&mut world, "a.service", "m2").await;
    let is_over = |world: &World| {
        let mirror = world.mirror();
        let unit = mirror.view().unit(&name("a.service"));
        unit.is_some_and(|unit| unit.moving.is_none())
    };
    world.until("the move is over", is_over).await;
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_replaces_another_starts_when_that_is_gone() {
    let mut world = world(2, 1).await;
    world.put_unit("old.service", "MachineMetadata=zone=a", LAUNCHED);
    runs(&mut world, "old.service", "m0").await;
    world.put_unit("new.service", "Replaces=old.service", LAUNCHED);
    runs(&mut world, "new.service", "m0").await;
    assert_eq!(world.runs_on(&name("old.service")), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn another_engine_succeeds_a_killed_one() {
    let mut world = world(1, 3).await;
    let leader = leader(&world);
    let n = (0..3)
        .find(|n| Some(id(&format!("e{n}"))) == leader)
        .expect("one leads");
    world.kill_engine(n);
    world.put_unit("a.service", "", LAUNCHED);
    let begun = Instant::now();
    runs(&mut world, "a.service", "m0").await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(12),
        "the lease's time and a bit: {took:?}"
    );
}

fn leader(world: &World) -> Option<MachineId> {
    let pair = world.store.look(&Keys::One(world.layout.leader())).pop()?;
    Some(Leadership::from_pair(&pair).ok()?.machine)
}

/// An engine that was killed and comes back at once goes on; nobody waits for its lease.
#[tokio::test(start_paused = true)]
async fn an_engine_that_is_restarted_leads_on() {
    let mut world = world(1, 1).await;
    world.kill_engine(0);
    world.start_engine(0);
    world.put_unit("a.service", "", LAUNCHED);
    let begun = Instant::now();
    runs(&mut world, "a.service", "m0").await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

/// What a former leader sends, or a leader sent long ago, is not carried out.
#[tokio::test(start_paused = true)]
async fn a_former_leader_cannot_write() {
    let mut world = world(1, 1).await;
    let leader = Keys::One(world.layout.leader());
    let old = world.store.look(&leader).pop().expect("it leads");
    world.kill_engine(0);
    world.start_engine(0);
    let is_new = |world: &World| {
        let new = world.store.look(&leader).pop();
        new.is_some_and(|new| new.mod_revision != old.mod_revision)
    };
    world.until("it leads anew", is_new).await;
    let condition = Condition::ModifiedAt(old.key.clone(), old.mod_revision);
    let put = Operation::put("k".to_owned(), Vec::new());
    let outcome = world.store.put_through(&Transaction::new(condition, put));
    assert!(matches!(outcome, Some(Outcome::ConditionFailed(_))));
}

/// With nothing to do, an engine that leads asks only for its lease, and one that follows for nothing.
#[tokio::test(start_paused = true)]
async fn idle_costs_nothing() {
    let mut world = world(1, 3).await;
    world.put_unit("a.service", "", LAUNCHED);
    runs(&mut world, "a.service", "m0").await;
    world.pass(Duration::from_secs(10), "it settles").await;
    let (before, revision) = (world.store.counts(), world.store.revision());
    let minutes = 10;
    world.pass(Duration::from_mins(minutes), "idle").await;
    let after = world.store.counts();
    assert_eq!(world.store.revision(), revision);
    assert_eq!(
        (before.reads, before.transactions),
        (after.reads, after.transactions)
    );
    let own = minutes * 60 * 3 / 10;
    let machines = minutes * 60 * 3 / TTL.as_secs();
    let most = own + machines + 2;
    let kept = after.keep_alives - before.keep_alives;
    assert!(kept <= most, "{kept} keep-alives, {most} expected");
}

/// A unit whose contents are missing or bad is left as it is.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_left_alone() {
    let mut world = world(1, 1).await;
    world.put_unit("a.service", "", LAUNCHED);
    runs(&mut world, "a.service", "m0").await;
    let key = Layout::default().unit(&name("a.service"));
    let put = Operation::put(key.clone(), b"{\"desired\":\"frozen\"}".to_vec());
    world
        .store
        .put_through(&Transaction::new(Condition::Exists(key), put));
    world.pass(Duration::from_mins(1), "unreadable").await;
    assert_eq!(world.runs_on(&name("a.service")), ["m0"]);
    let mirror = world.mirror();
    let complaints: Vec<&str> = mirror.unreadable().collect();
    assert!(complaints[0].contains("units/a.service"), "{complaints:?}");
    world.destroy(&name("a.service"));
    world
        .until("it goes", |world| {
            world.runs_on(&name("a.service")).is_empty()
        })
        .await;
}

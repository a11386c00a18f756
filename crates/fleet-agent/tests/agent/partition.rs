//! `OnPartition=stop`: dead before the store can believe so, whenever the partition begins.

use fleet_agent::Behaviour;
use fleet_model::State;
use fleet_store::memory::MemoryStore;
use tokio::time::{Duration, sleep};

use crate::fixture::{Machine, TTL, contents, name, seconds};

const UNIT: &str = "a.service";

async fn machine_with(behaviour: Behaviour) -> Machine {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.systemd.behave(&name(UNIT), behaviour);
    machine.target(UNIT, &contents("a", "OnPartition=stop\n"), State::Launched);
    machine.target("keep.service", &contents("k", ""), State::Launched);
    sleep(seconds(1)).await;
    assert!(machine.is_running(UNIT));
    machine
}

/// Cuts the machine off, and says how long the unit ran and the store believed in the machine from then on.
async fn cut(machine: &Machine) -> (Duration, Duration) {
    let step = Duration::from_millis(10);
    let mut ran = Duration::ZERO;
    let mut believed = Duration::ZERO;
    machine.client.cut();
    let mut time = Duration::ZERO;
    while time < TTL * 2 {
        sleep(step).await;
        time += step;
        if machine.is_running(UNIT) {
            ran = time;
        }
        if machine.alive().is_some() {
            believed = time;
        }
    }
    (ran, believed)
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_dead_before_the_lease_ends() {
    let slow = Some(Duration::from_millis(1400));
    for stop in [Some(Duration::ZERO), slow, None] {
        let behaviour = Behaviour {
            stop,
            ..Behaviour::OBEDIENT
        };
        for phase in (0..16).map(|phase| Duration::from_millis(phase * 250)) {
            let machine = machine_with(behaviour).await;
            sleep(phase).await;
            let (ran, believed) = cut(&machine).await;
            let found = format!("{stop:?}, {phase:?}: ran {ran:?}, believed in for {believed:?}");
            assert!(ran < believed, "{found}");
            // Not for a short loss: keep-alives come every third of the lease's time.
            assert!(ran > TTL / 3, "{found}");
            assert!(machine.is_running("keep.service"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_partition_stops_nothing() {
    let machine = machine_with(Behaviour::OBEDIENT).await;
    machine.systemd.clear_calls();
    for _ in 0..10 {
        machine.client.cut();
        sleep(TTL / 3).await;
        machine.client.mend();
        sleep(TTL / 3).await;
    }
    assert_eq!(machine.systemd.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn it_starts_again_after_the_partition_if_it_is_still_wanted_here() {
    let machine = machine_with(Behaviour::OBEDIENT).await;
    machine.client.cut();
    sleep(seconds(60)).await;
    assert!(!machine.is_running(UNIT));
    machine.client.mend();
    sleep(seconds(20)).await;
    assert!(machine.is_running(UNIT));
    assert!(machine.present(UNIT).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_starts_meanwhile_is_stopped_too() {
    let machine = machine_with(Behaviour::OBEDIENT).await;
    machine.client.cut();
    sleep(seconds(60)).await;
    machine.systemd.start_by_itself(&name(UNIT));
    sleep(seconds(5)).await;
    assert!(!machine.is_running(UNIT));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_anew_without_the_store_keeps_to_the_deadline() {
    for phase in 0..8 {
        let mut machine = machine_with(Behaviour::OBEDIENT).await;
        sleep(Duration::from_millis(500 * phase)).await;
        machine.client.cut();
        machine.systemd.clear_calls();
        machine.stop_agent().await;
        machine.start_agent();
        sleep(seconds(2)).await;
        assert_eq!(machine.systemd.calls(), Vec::<String>::new(), "not at once");
        let (ran, believed) = cut(&machine).await;
        assert!(ran < believed, "ran {ran:?}, believed in for {believed:?}");
        assert!(machine.is_running("keep.service"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_keeps_to_the_deadline_when_no_agent_comes_back() {
    let stubborn = Behaviour {
        stop: None,
        ..Behaviour::OBEDIENT
    };
    for behaviour in [Behaviour::OBEDIENT, stubborn] {
        let mut machine = machine_with(behaviour).await;
        machine.kill_agent();
        let guard = tokio::spawn(machine.guard());
        let (ran, believed) = cut(&machine).await;
        assert!(ran < believed, "ran {ran:?}, believed in for {believed:?}");
        assert!(machine.is_running("keep.service"));
        assert!(guard.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_touches_nothing_if_an_agent_comes_back() {
    let mut machine = machine_with(Behaviour::OBEDIENT).await;
    machine.stop_agent().await;
    let guard = tokio::spawn(machine.guard());
    sleep(seconds(2)).await;
    machine.start_agent();
    machine.systemd.clear_calls();
    sleep(TTL * 2).await;
    assert!(guard.is_finished());
    assert!(!machine.systemd.calls().contains(&format!("stop {UNIT}")));
    assert!(machine.is_running(UNIT));
}

//! Without the store, and without its belief in this machine.

use fleet_agent::Registration;
use fleet_model::State;
use fleet_store::Operation;
use fleet_store::memory::MemoryStore;
use tokio::time::sleep;

use crate::fixture::{Machine, contents, name, seconds};

#[tokio::test(start_paused = true)]
async fn units_are_kept_through_a_long_loss_of_the_store() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    machine.target("b.service", &contents("b", ""), State::Loaded);
    sleep(seconds(1)).await;
    machine.systemd.clear_calls();
    machine.client.cut();
    sleep(seconds(100)).await;
    assert!(matches!(
        machine.registration(),
        Registration::Trying { .. }
    ));
    assert!(machine.alive().is_none(), "its lease has ended");
    machine.client.mend();
    sleep(seconds(20)).await;
    assert_eq!(machine.registration(), Registration::Registered);
    assert_eq!(machine.systemd.calls(), Vec::<String>::new());
    assert_eq!(
        machine.state("a.service").expect("told anew").active,
        "active"
    );
    assert_eq!(
        machine.state("b.service").expect("told anew").reached,
        State::Loaded
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_moved_away_meanwhile_is_stopped_afterwards() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    machine.client.cut();
    sleep(seconds(30)).await;
    machine.untarget("a.service");
    let present = machine.layout.present(&machine.id, &name("a.service"));
    machine.change(Operation::Delete(present));
    assert!(machine.is_running("a.service"));
    machine.client.mend();
    sleep(seconds(20)).await;
    assert!(!machine.is_running("a.service"));
    assert_eq!(machine.state("a.service"), None);
}

#[tokio::test(start_paused = true)]
async fn a_unit_given_away_before_it_was_announced_is_never_started() {
    for wait in (0..40).map(|step| std::time::Duration::from_millis(step * 50)) {
        let store = MemoryStore::new(1);
        let machine = Machine::registered(&store).await;
        let way = std::time::Duration::from_millis(300);
        store.set_delay(way..way);
        machine.target("a.service", &contents("a", ""), State::Launched);
        sleep(wait).await;
        machine.untarget("a.service");
        let was_announced = machine.present("a.service").is_some();
        sleep(seconds(10)).await;
        let was_started = machine
            .systemd
            .calls()
            .contains(&"start a.service".to_owned());
        assert!(was_announced || !was_started, "given away after {wait:?}");
        assert!(!machine.is_running("a.service"));
        assert_eq!(machine.present("a.service"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_ended_is_replaced() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("keep.service", &contents("k", ""), State::Launched);
    machine.target(
        "stop.service",
        &contents("s", "OnPartition=stop\n"),
        State::Launched,
    );
    sleep(seconds(1)).await;
    let (_, pair) = machine.alive().expect("alive");
    let runs = ["keep.service", "stop.service"].map(|unit| machine.systemd.invocation(&name(unit)));
    store.end_lease(pair.lease.expect("leased"));
    sleep(seconds(10)).await;
    assert_eq!(machine.registration(), Registration::Registered);
    let (_, anew) = machine.alive().expect("alive again");
    assert_ne!(anew.lease, pair.lease);
    assert_eq!(machine.systemd.invocation(&name("keep.service")), runs[0]);
    // The store may have given it away the moment the lease ended.
    assert!(machine.systemd.invocation(&name("stop.service")) > runs[1]);
    assert!(machine.is_running("stop.service"));
    assert_eq!(
        machine.state("stop.service").expect("a state").active,
        "active"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deaf_systemd_costs_no_lease() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    let (_, before) = machine.alive().expect("alive");
    machine.systemd.set_deaf(true);
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(60)).await;
    assert_eq!(machine.alive().expect("alive").1, before);
    machine.systemd.set_deaf(false);
    sleep(seconds(2)).await;
    assert!(machine.is_running("a.service"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_missed_changes_reads_anew() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    machine.client.cut();
    sleep(seconds(1)).await;
    machine.untarget("a.service");
    machine.target("b.service", &contents("b", ""), State::Launched);
    store.compact();
    machine.client.mend();
    sleep(seconds(10)).await;
    assert!(!machine.is_running("a.service"));
    assert!(machine.is_running("b.service"));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_know_any_more_is_announced_again() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    machine.client.cut();
    sleep(seconds(30)).await;
    let present = machine.layout.present(&machine.id, &name("a.service"));
    machine.change(Operation::Delete(present));
    machine.client.mend();
    sleep(seconds(20)).await;
    assert!(machine.is_running("a.service"));
    assert!(machine.present("a.service").is_some());
}

//! Agents that end and start anew, and boots.

use fleet_agent::{Behaviour, Registration};
use fleet_model::State;
use fleet_store::memory::MemoryStore;
use tokio::time::sleep;

use crate::fixture::{GRACE, Machine, contents, name, seconds};

async fn with_units(store: &MemoryStore) -> Machine {
    let machine = Machine::registered(store).await;
    machine.target("keep.service", &contents("k", ""), State::Launched);
    machine.target(
        "stop.service",
        &contents("s", "OnPartition=stop\n"),
        State::Launched,
    );
    machine.target("loaded.service", &contents("l", ""), State::Loaded);
    sleep(seconds(3)).await;
    machine.systemd.clear_calls();
    machine
}

fn touched(machine: &Machine) -> Vec<String> {
    let mut calls = machine.systemd.calls();
    calls.retain(|call| call != "reload");
    calls
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_touches_no_unit_and_nobody_notices() {
    for is_killed in [false, true] {
        let store = MemoryStore::new(1);
        let mut machine = with_units(&store).await;
        let (_, before) = machine.alive().expect("alive");
        for _ in 0..3 {
            if is_killed {
                machine.kill_agent();
            } else {
                machine.stop_agent().await;
            }
            sleep(seconds(1)).await;
            machine.start_agent();
            sleep(seconds(3)).await;
        }
        assert_eq!(touched(&machine), Vec::<String>::new());
        assert_eq!(machine.registration(), Registration::Registered);
        assert_eq!(
            machine.alive().expect("alive").1,
            before,
            "not even put again"
        );
        assert_eq!(
            machine.state("keep.service").expect("a state").active,
            "active"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_away_for_long_touches_no_unit_that_is_kept() {
    let store = MemoryStore::new(1);
    let mut machine = with_units(&store).await;
    machine.kill_agent();
    sleep(seconds(100)).await;
    assert!(machine.alive().is_none());
    let before = machine.systemd.invocation(&name("keep.service"));
    machine.start_agent();
    sleep(seconds(5)).await;
    assert_eq!(machine.registration(), Registration::Registered);
    assert_eq!(machine.systemd.invocation(&name("keep.service")), before);
    assert!(machine.is_running("stop.service"));
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_no_agent_ran_is_done_by_the_next() {
    let store = MemoryStore::new(1);
    let mut machine = with_units(&store).await;
    machine.stop_agent().await;
    machine.untarget("keep.service");
    machine.target("new.service", &contents("n", ""), State::Launched);
    machine.target("loaded.service", &contents("l", ""), State::Launched);
    sleep(seconds(1)).await;
    machine.start_agent();
    sleep(seconds(3)).await;
    assert!(!machine.is_running("keep.service"));
    assert_eq!(machine.present("keep.service"), None);
    assert_eq!(machine.state("keep.service"), None);
    assert!(machine.is_running("new.service"));
    assert!(machine.is_running("loaded.service"));
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_has_ended_by_itself_is_not_run_again() {
    let store = MemoryStore::new(1);
    let mut machine = Machine::registered(&store).await;
    let short = Behaviour {
        run: Some(seconds(1)),
        ..Behaviour::OBEDIENT
    };
    machine.systemd.behave(&name("once.service"), short);
    machine.target("once.service", &contents("o", ""), State::Launched);
    sleep(seconds(3)).await;
    assert_eq!(
        machine.state("once.service").expect("a state").active,
        "inactive"
    );
    let run = machine.systemd.invocation(&name("once.service"));
    assert_ne!(run, 0);
    machine.stop_agent().await;
    machine.start_agent();
    sleep(seconds(3)).await;
    assert_eq!(machine.systemd.invocation(&name("once.service")), run);
    assert_eq!(
        machine.state("once.service").expect("a state").reached,
        State::Launched
    );
}

#[tokio::test(start_paused = true)]
async fn a_boot_starts_everything_again_under_the_same_lease() {
    let store = MemoryStore::new(1);
    let mut machine = with_units(&store).await;
    let (_, before) = machine.alive().expect("alive");
    machine.reboot();
    sleep(seconds(4)).await;
    machine.start_agent();
    sleep(seconds(3)).await;
    assert!(machine.is_running("keep.service") && machine.is_running("stop.service"));
    assert!(!machine.is_running("loaded.service"));
    let (alive, after) = machine.alive().expect("alive");
    assert_eq!(after.lease, before.lease);
    assert_eq!(alive.boot_id, machine.boot_id);
}

#[tokio::test(start_paused = true)]
async fn a_boot_without_the_store_starts_what_may_run_twice() {
    let store = MemoryStore::new(1);
    let mut machine = with_units(&store).await;
    machine.client.cut();
    machine.reboot();
    machine.start_agent();
    sleep(GRACE.saturating_sub(seconds(1))).await;
    assert!(
        !machine.is_running("keep.service"),
        "the store may answer yet"
    );
    sleep(seconds(2)).await;
    assert!(machine.is_running("keep.service"));
    assert!(!machine.is_running("stop.service"));
    sleep(seconds(60)).await;
    assert!(!machine.is_running("stop.service"));
    let run = machine.systemd.invocation(&name("keep.service"));
    machine.client.mend();
    sleep(seconds(20)).await;
    assert!(machine.is_running("stop.service"));
    assert_eq!(machine.systemd.invocation(&name("keep.service")), run);
    assert!(machine.present("keep.service").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_destroyed_is_not_started_from_memory() {
    let store = MemoryStore::new(1);
    let mut machine = with_units(&store).await;
    machine.untarget("keep.service");
    sleep(seconds(3)).await;
    machine.client.cut();
    machine.reboot();
    machine.start_agent();
    sleep(seconds(30)).await;
    assert!(!machine.is_running("keep.service"));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_disk_displaces_nobody_for_good() {
    let store = MemoryStore::new(1);
    let mut machine = with_units(&store).await;
    // The copy was booted later and has the lease's number: it takes the machine's place.
    let mut copy = Machine::new(&store);
    let files = machine.folder.path().join("var/lib/fleet/lease.json");
    let target = copy.folder.path().join("var/lib/fleet");
    std::fs::create_dir_all(&target).expect("a folder");
    std::fs::copy(files, target.join("lease.json")).expect("copied");
    copy.boot_id = "boot-of-copy".to_owned();
    copy.start_agent();
    sleep(seconds(3)).await;
    assert_eq!(copy.registration(), Registration::Registered);
    // The original notices at its next announcement, and says what it found.
    machine.target("new.service", &contents("n", ""), State::Launched);
    sleep(seconds(60)).await;
    let boot_id = copy.boot_id.clone();
    assert_eq!(machine.registration(), Registration::Double { boot_id });
    machine.kill_agent();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_removed_before_systemd_was_asked_whether_it_runs() {
    let store = MemoryStore::new(1);
    let mut machine = with_units(&store).await;
    machine.stop_agent().await;
    machine.untarget("keep.service");
    machine.start_agent_unconnected();
    sleep(seconds(5)).await;
    assert_eq!(machine.registration(), Registration::Registered);
    let file = machine.folder.path().join("run/fleet/units/keep.service");
    assert!(file.exists() && machine.present("keep.service").is_some());
    machine.systemd.renew();
    sleep(seconds(3)).await;
    assert!(!file.exists() && !machine.is_running("keep.service"));
    assert_eq!(machine.present("keep.service"), None);
}

/// It may have been given to another machine meanwhile: only a boot makes what is remembered count.
#[tokio::test(start_paused = true)]
async fn what_was_not_started_before_the_agent_died_is_not_started_without_the_store() {
    let store = MemoryStore::new(1);
    let mut machine = Machine::registered(&store).await;
    machine.systemd.set_deaf(true);
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(2)).await;
    machine.kill_agent();
    let remembered = "var/lib/fleet/targets/a.service";
    assert!(machine.folder.path().join(remembered).exists());
    machine.client.cut();
    machine.systemd.set_deaf(false);
    machine.start_agent();
    sleep(seconds(60)).await;
    assert!(!machine.is_running("a.service"));
}

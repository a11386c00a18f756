//! A unit's life on a machine that reaches its store.

use fleet_agent::{Behaviour, Registration};
use fleet_model::State;
use fleet_store::MachineRecord;
use fleet_store::memory::MemoryStore;
use tokio::time::{Duration, sleep};

use crate::fixture::{Machine, contents, hash, name, seconds};

fn slow_stop(time: Duration) -> Behaviour {
    Behaviour {
        stop: Some(time),
        ..Behaviour::OBEDIENT
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_started_and_its_state_told() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    let unit = contents("a", "");
    machine.target("a.service", &unit, State::Launched);
    sleep(seconds(1)).await;
    let state = machine.state("a.service").expect("a state");
    assert_eq!(state.hash, hash(&name("a.service"), &unit));
    assert_eq!(state.reached, State::Launched);
    assert_eq!(
        (
            state.load.as_str(),
            state.active.as_str(),
            state.sub.as_str()
        ),
        ("loaded", "active", "running")
    );
    assert_eq!(machine.present("a.service"), Some(state.hash));
    machine.systemd.die(&name("a.service"));
    sleep(seconds(1)).await;
    assert_eq!(
        machine.state("a.service").expect("a state").active,
        "failed"
    );
    assert!(
        !machine.is_running("a.service"),
        "restarts are systemd's affair"
    );
}

#[tokio::test(start_paused = true)]
async fn a_loaded_unit_is_not_started_and_an_unwanted_one_leaves_nothing() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Loaded);
    sleep(seconds(1)).await;
    let state = machine.state("a.service").expect("a state");
    assert_eq!(
        (state.reached, state.active.as_str()),
        (State::Loaded, "inactive")
    );
    let file = machine.folder.path().join("run/fleet/units/a.service");
    assert!(file.exists());
    machine.untarget("a.service");
    sleep(seconds(5)).await;
    assert_eq!(machine.state("a.service"), None);
    assert_eq!(machine.present("a.service"), None);
    assert!(!file.exists());
    assert!(
        !machine
            .folder
            .path()
            .join("var/lib/fleet/targets/a.service")
            .exists()
    );
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_withdrawn_only_when_it_has_stopped() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine
        .systemd
        .behave(&name("a.service"), slow_stop(seconds(3)));
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    machine.untarget("a.service");
    sleep(seconds(2)).await;
    assert!(machine.is_running("a.service"));
    assert!(machine.present("a.service").is_some());
    assert_eq!(
        machine.state("a.service").expect("a state").active,
        "deactivating"
    );
    sleep(seconds(2)).await;
    assert!(!machine.is_running("a.service"));
    assert_eq!(machine.present("a.service"), None);
}

#[tokio::test(start_paused = true)]
async fn other_contents_replace_the_running_ones() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    let first = machine.systemd.invocation(&name("a.service"));
    machine.systemd.clear_calls();
    let new = contents("b", "");
    machine.target("a.service", &new, State::Launched);
    sleep(seconds(1)).await;
    let calls = machine.systemd.calls();
    assert_eq!(calls, ["stop a.service", "reload", "start a.service"]);
    assert!(machine.systemd.invocation(&name("a.service")) > first);
    let expected = Some(hash(&name("a.service"), &new));
    assert_eq!(machine.present("a.service"), expected);
    assert_eq!(machine.state("a.service").map(|state| state.hash), expected);
}

#[tokio::test(start_paused = true)]
async fn many_units_are_loaded_with_one_reload() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    for number in 0..150 {
        let unit = format!("a{number}.service");
        machine.target(&unit, &contents(&unit, ""), State::Launched);
    }
    sleep(seconds(2)).await;
    let calls = machine.systemd.calls();
    let reloads = calls.iter().filter(|call| *call == "reload").count();
    assert!(reloads <= 2, "{reloads} reloads");
    for number in 0..150 {
        let unit = format!("a{number}.service");
        assert_eq!(
            machine.state(&unit).expect("a state").active,
            "active",
            "{unit}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_waits_for_what_it_replaces_to_be_gone() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine
        .systemd
        .behave(&name("old.service"), slow_stop(seconds(4)));
    machine.target("old.service", &contents("old", ""), State::Launched);
    sleep(seconds(1)).await;
    machine.untarget("old.service");
    let new = contents("new", "Replaces=old.service\n");
    machine.target_replacing("new.service", &new, State::Launched, &["old.service"]);
    sleep(seconds(3)).await;
    assert!(machine.is_running("old.service"));
    assert!(!machine.is_running("new.service"));
    assert_eq!(
        machine.state("new.service").expect("a state").reached,
        State::Loaded
    );
    sleep(seconds(2)).await;
    assert!(!machine.is_running("old.service"));
    assert!(machine.is_running("new.service"));
}

#[tokio::test(start_paused = true)]
async fn it_is_told_which_run_of_a_unit_this_is() {
    let store = MemoryStore::new(1);
    let mut machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    let told = |machine: &Machine| machine.state("a.service").expect("a state").invocation;
    let run = |machine: &Machine| {
        let run = machine.systemd.invocation(&name("a.service"));
        format!("{run:032x}")
    };
    let first = told(&machine);
    assert_eq!(first, run(&machine));
    machine.stop_agent().await;
    machine.start_agent();
    sleep(seconds(1)).await;
    assert_eq!(told(&machine), first, "the next agent asks for it");
    machine.systemd.die(&name("a.service"));
    sleep(seconds(1)).await;
    assert_eq!(told(&machine), first, "it failed in that run");
    machine.systemd.start_by_itself(&name("a.service"));
    sleep(seconds(1)).await;
    assert_ne!(told(&machine), first);
    assert_eq!(told(&machine), run(&machine));
    machine.target("a.service", &contents("a", ""), State::Loaded);
    sleep(seconds(1)).await;
    assert_eq!(told(&machine), "", "it does not run");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_loaded_or_started_is_told() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    let usr = machine.folder.path().join("usr/lib/systemd/system");
    std::fs::create_dir_all(&usr).expect("a folder");
    std::fs::write(usr.join("ssh.service"), "").expect("written");
    machine.target("ssh.service", &contents("mine", ""), State::Launched);
    let refused = Behaviour {
        is_refused: true,
        ..Behaviour::OBEDIENT
    };
    machine.systemd.behave(&name("bad.service"), refused);
    machine.target("bad.service", &contents("bad", ""), State::Launched);
    sleep(seconds(1)).await;
    let state = machine.state("ssh.service").expect("a state");
    assert_eq!(state.reached, State::Inactive, "it is not even loaded");
    let problem = state.problem;
    assert!(
        problem.contains("/usr/lib/systemd/system/ssh.service"),
        "{problem}"
    );
    let state = machine.state("bad.service").expect("a state");
    assert_eq!(state.problem, "Unit not found.");
    let text = contents("bad", "");
    assert_eq!(state.hash, hash(&name("bad.service"), &text));
    let starts = machine.systemd.calls();
    sleep(seconds(30)).await;
    assert_eq!(
        machine.systemd.calls(),
        starts,
        "a refused start is not repeated"
    );
    machine.systemd.start_by_itself(&name("bad.service"));
    sleep(seconds(3)).await;
    let state = machine.state("bad.service").expect("a state");
    assert_eq!(
        (state.active.as_str(), state.problem.as_str()),
        ("active", "")
    );
    machine.untarget("ssh.service");
    sleep(seconds(3)).await;
    assert_eq!(machine.state("ssh.service"), None);
    assert!(usr.join("ssh.service").exists());
}

#[tokio::test(start_paused = true)]
async fn states_that_change_fast_are_written_slowly_and_the_last_one_stays() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    let before = store.counts().transactions;
    for _ in 0..500 {
        machine.systemd.die(&name("a.service"));
        sleep(Duration::from_millis(5)).await;
        machine.systemd.start_by_itself(&name("a.service"));
        sleep(Duration::from_millis(5)).await;
    }
    machine.systemd.die(&name("a.service"));
    sleep(seconds(1)).await;
    let written = store.counts().transactions - before;
    assert!(
        (10..=25).contains(&written),
        "{written} transactions in 5 s"
    );
    assert_eq!(
        machine.state("a.service").expect("a state").active,
        "failed"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_machine_only_keeps_its_lease_alive() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    for number in 0..20 {
        let unit = format!("a{number}.service");
        machine.target(&unit, &contents(&unit, ""), State::Launched);
    }
    sleep(seconds(5)).await;
    let before = store.counts();
    sleep(seconds(120)).await;
    let after = store.counts();
    assert_eq!(after.transactions, before.transactions);
    assert_eq!(after.reads, before.reads);
    assert_eq!(after.watches, before.watches);
    let keep_alives = after.keep_alives - before.keep_alives;
    assert!(
        (10..=60).contains(&keep_alives),
        "{keep_alives} keep-alives in 2 min"
    );
}

#[tokio::test(start_paused = true)]
async fn the_record_follows_the_configuration() {
    let store = MemoryStore::new(1);
    let machine = Machine::registered(&store).await;
    let lease = machine
        .stored_record()
        .expect("a record")
        .lease
        .expect("a lease");
    assert_eq!(lease.ttl_seconds, 12);
    let record = MachineRecord {
        metadata: [("disk".to_owned(), "ssd".to_owned())].into(),
        ..MachineRecord::default()
    };
    let agent = machine.agent.as_ref().expect("it runs");
    agent.set_record(record.clone());
    sleep(seconds(1)).await;
    let expected = MachineRecord {
        lease: Some(lease),
        ..record
    };
    assert_eq!(machine.stored_record(), Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_machine_leaves_in_order_when_nothing_runs_any_more() {
    let store = MemoryStore::new(1);
    let mut machine = Machine::registered(&store).await;
    machine.target("a.service", &contents("a", ""), State::Launched);
    sleep(seconds(1)).await;
    let agent = machine.agent.take().expect("it runs");
    let left = agent.leave(seconds(2)).await;
    assert_eq!(left, Ok(false), "a unit runs");
    assert!(machine.alive().is_some() && machine.present("a.service").is_some());
    machine.start_agent();
    sleep(seconds(1)).await;
    machine.systemd.die(&name("a.service"));
    let agent = machine.agent.take().expect("it runs");
    assert_eq!(agent.leave(seconds(2)).await, Ok(true));
    assert_eq!(
        (machine.alive(), machine.present("a.service")),
        (None, None)
    );
    assert_eq!(machine.state("a.service"), None);
    assert_eq!(machine.stored_record().expect("it stays").lease, None);
}

#[tokio::test(start_paused = true)]
async fn a_double_is_told_so_and_starts_nothing() {
    let store = MemoryStore::new(1);
    let first = Machine::registered(&store).await;
    first.target("a.service", &contents("a", ""), State::Launched);
    let mut second = Machine::new(&store);
    second.boot_id = "boot-of-another".to_owned();
    second.start_agent();
    sleep(seconds(60)).await;
    let boot_id = first.boot_id.clone();
    assert_eq!(second.registration(), Registration::Double { boot_id });
    assert!(first.is_running("a.service"));
    assert!(!second.is_running("a.service"));
    // Once the first one is gone the second one takes its place.
    drop(first);
    sleep(seconds(60)).await;
    assert_eq!(second.registration(), Registration::Registered);
}

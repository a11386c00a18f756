//! A store that does not answer: nothing fails for want of it. With a store that does, machines are tested
//! in the workspace's tests.

use machine_facts::update_files::read_settings;
use update_model::progress::State;
use updaterd::cluster::tell;
use updaterd::keeper::Keeper;
use updaterd::run::{Order, OrderedBy, Outcome};

use crate::fixture::{Build, Releases};
use crate::machine::{TestMachine, install_from, installed};

/// Port 1 of the loopback refuses.
const NOBODY: &str = "[store]\nendpoints = [\"http://127.0.0.1:1\"]\n";

fn world(more: &str) -> (Releases, TestMachine) {
    let releases = Releases::new();
    releases.release(&Build::new("2"), false);
    let machine = TestMachine::new(&Build::new("1"), &releases);
    configure(&machine, &releases, more);
    (releases, machine)
}

fn configure(machine: &TestMachine, releases: &Releases, more: &str) {
    let settings = format!("sources = [\"{}\"]\n{more}", releases.folder().display());
    machine.put("etc/keelson/update.toml", settings.as_bytes());
}

fn by_timer() -> Order {
    Order {
        from: None,
        by: OrderedBy::Timer,
        ..install_from("")
    }
}

#[test]
fn a_machine_that_cannot_ask_waits_without_failing() {
    let (releases, machine) = world(NOBODY);
    let before = machine.contents();
    let outcome = machine.update(&by_timer()).expect("it works");
    let Outcome::Nothing(text) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(text.contains("2 waits until it is known"), "{text}");
    assert!(machine.contents() == before);
    assert_eq!(machine.record().state, State::Idle);
    let metrics = machine.root.read_text(updaterd::metrics::PATH).unwrap();
    for sample in [
        "keelson_update_held_back{reason=\"store-unreachable\"} 1",
        "keelson_update_info{product=\"vm\",running=\"1\",version=\"\"} 1",
        "keelson_update_failing_attempts 0",
    ] {
        assert!(metrics.contains(sample), "{metrics}");
    }
    let retry = Order {
        retry: true,
        ..install_from(&releases.folder().display().to_string())
    };
    assert_eq!(machine.update(&retry).expect("it works"), installed("2"));
}

#[test]
fn without_a_section_nobody_is_asked() {
    let (_releases, machine) = world("");
    assert_eq!(
        machine.update(&by_timer()).expect("it works"),
        installed("2")
    );
}

#[test]
fn an_outcome_is_kept_if_it_cannot_be_told() {
    let (releases, machine) = world("");
    machine.update(&by_timer()).expect("it works");
    configure(&machine, &releases, NOBODY);
    machine.boot();
    machine.become_healthy();
    let mut keeper = Keeper::take(&machine.root).expect("the record");
    let settings = read_settings(&machine.root).expect("settings");
    tell(&machine.root, &settings, &mut keeper);
    assert!(matches!(keeper.record().state, State::Good(_)));
    drop(keeper);
    assert_eq!(machine.record().unreported.len(), 1);
}

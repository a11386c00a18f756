//! Updates that go well, and the ways back.

use machine_facts::update_files::write_choices;
use update_model::method::Method;
use update_model::progress::State;
use update_model::record::Happened;
use update_model::settings::Choices;
use updaterd::keeper::Keeper;
use updaterd::rollback::{Direction, Rolled, roll};
use updaterd::run::{Goal, Order, OrderedBy, Outcome};

use crate::fixture::{Build, Releases};
use crate::machine::{TestMachine, install_from, installed};

/// Two versions released, the machine runs the first.
fn two() -> (Releases, TestMachine) {
    let releases = Releases::new();
    let first = Build::new("1");
    releases.release(&first, false);
    releases.release(&Build::new("2"), false);
    let machine = TestMachine::new(&first, &releases);
    (releases, machine)
}

fn outcome(machine: &TestMachine) -> State {
    let keeper = Keeper::take(&machine.root).expect("the record");
    keeper.record().state.clone()
}

#[test]
fn from_version_to_version_over_http() {
    let (releases, machine) = two();
    let (url, _) = releases.serve();
    let order = install_from(&url);
    assert_eq!(machine.update(&order).expect("it works"), installed("2"));
    assert_eq!(machine.entries(), ["keelson_1.efi", "keelson_2+3.efi"]);
    let again = machine.update(&order).expect("it works");
    assert_eq!(again, Outcome::Waiting("2".parse().unwrap()));
    assert!(matches!(machine.record().state, State::Staged(_)));

    assert_eq!(machine.boot(), "2");
    assert!(matches!(outcome(&machine), State::AwaitingHealth(_)));
    let error = machine.update(&order).unwrap_err().to_string();
    assert!(error.contains("has yet to prove itself"), "{error}");
    machine.become_healthy();
    assert!(matches!(outcome(&machine), State::Good(_)));
    assert_eq!(machine.record().memory.floor, Some("2".parse().unwrap()));
    let nothing = machine.update(&order).expect("it works");
    assert!(matches!(nothing, Outcome::Nothing(_)), "{nothing:?}");

    // Into slot a, by a static delta.
    releases.release(&Build::new("3"), true);
    assert_eq!(machine.update(&order).expect("it works"), installed("3"));
    let last = machine.record().history.back().cloned().expect("events");
    let by_delta = matches!(
        last.what,
        Happened::Installed {
            method: Method::StaticDelta,
            ..
        }
    );
    assert!(by_delta, "{last:?}");
    assert_eq!(machine.boot(), "3");
}

#[test]
fn a_version_that_does_not_boot_is_not_tried_again_until_a_newer_one_comes() {
    let (releases, machine) = two();
    let folder = releases.folder().display().to_string();
    let order = install_from(&folder);
    machine.update(&order).expect("it works");
    // Three boots of it die before anything runs.
    for _ in 0..3 {
        assert_eq!(machine.boot(), "2");
    }
    assert_eq!(machine.boot(), "1");
    assert!(matches!(outcome(&machine), State::Bad(_)));
    assert!(machine.root.exists("/run/motd.d/60-keelson-update"));
    let refused = machine.update(&order).expect("it works");
    let Outcome::Nothing(text) = refused else {
        panic!("{refused:?}");
    };
    assert!(text.contains("did not come up healthy"), "{text}");
    let line = machine.root.read_text("/run/motd.d/60-keelson-update");
    let line = line.expect("a look at the releases does not take it away");
    assert!(line.contains("Version 2 was given up"), "{line}");
    assert!(
        machine
            .record()
            .memory
            .bad
            .contains_key(&"2".parse().unwrap())
    );

    let retry = Order {
        retry: true,
        ..order.clone()
    };
    assert_eq!(machine.update(&retry).expect("it works"), installed("2"));
    releases.release(&Build::new("3"), false);
    assert_eq!(machine.update(&order).expect("it works"), installed("3"));
    assert_eq!(machine.boot(), "3");
}

#[test]
fn an_unhealthy_version_is_bad() {
    let (releases, machine) = two();
    machine
        .update(&install_from(&releases.folder().display().to_string()))
        .expect("it works");
    machine.boot();
    let report = machine_facts::health_report::HealthReport::Unhealthy {
        unhealthy_after_seconds: 300.0,
        reasons: vec!["kvd.service has failed".to_owned()],
    };
    report.write(&machine.root).expect("written");
    let state = outcome(&machine).to_string();
    assert!(state.contains("kvd.service has failed"), "{state}");
}

#[test]
fn back_by_hand_and_forward_again() {
    let (releases, machine) = two();
    let order = install_from(&releases.folder().display().to_string());
    machine.update(&order).expect("it works");
    let error = roll(&machine.root, Direction::Forward).unwrap_err();
    assert!(error.to_string().contains("waits"), "{error}");
    machine.boot();
    machine.become_healthy();
    let rolled = roll(&machine.root, Direction::Back).expect("there is an older one");
    assert_eq!(rolled, Rolled::Boots("1".parse().unwrap()));
    assert_eq!(machine.boot(), "1");
    let text = outcome(&machine).to_string();
    assert!(text.contains("rolled back by hand"), "{text}");
    let kept = machine.update(&order).expect("it works");
    assert!(matches!(kept, Outcome::Nothing(_)), "{kept:?}");
    let error = roll(&machine.root, Direction::Back).unwrap_err();
    assert!(error.to_string().contains("--forward"), "{error}");
    roll(&machine.root, Direction::Forward).expect("the newer one is there");
    assert_eq!(machine.boot(), "2");
    machine.become_healthy();
    assert!(matches!(outcome(&machine), State::Good(_)));
    assert!(machine.record().memory.bad.is_empty());
}

#[test]
fn what_waits_for_its_first_boot_can_be_withdrawn() {
    let (releases, machine) = two();
    let order = install_from(&releases.folder().display().to_string());
    machine.update(&order).expect("it works");
    assert_eq!(machine.entries().len(), 2);
    let withdrawn = Rolled::Withdrawn {
        version: "2".parse().unwrap(),
        running: "1".parse().unwrap(),
    };
    assert_eq!(roll(&machine.root, Direction::Back).unwrap(), withdrawn);
    assert_eq!(machine.entries(), ["keelson_1.efi"]);
    assert_eq!(machine.boot(), "1");
    let left_out = machine.update(&order).expect("it works");
    let Outcome::Nothing(why) = left_out else {
        panic!("{left_out:?}");
    };
    assert!(why.contains("withdrawn"), "{why}");
    let retry = Order {
        retry: true,
        ..order
    };
    assert_eq!(machine.update(&retry).expect("it works"), installed("2"));
    assert_eq!(machine.boot(), "2");
}

#[test]
fn checking_changes_nothing_and_choices_hold() {
    let (releases, machine) = two();
    let check = Order {
        goal: Goal::Check,
        ..install_from(&releases.folder().display().to_string())
    };
    let before = machine.contents();
    let found = machine.update(&check).expect("it works");
    assert!(
        matches!(&found, Outcome::Available(text) if text.contains('2')),
        "{found:?}"
    );
    assert!(machine.contents() == before);
    assert_eq!(machine.record().state, State::Idle);

    let pin = |pinned: Option<&str>, channel: Option<&str>| {
        let choices = Choices {
            channel: channel.map(str::to_owned),
            pinned: pinned.map(|version| version.parse().unwrap()),
        };
        write_choices(&machine.root, &choices).expect("written");
    };
    pin(Some("1"), None);
    let pinned = machine.update(&check).expect("it works");
    assert!(
        matches!(&pinned, Outcome::Nothing(text) if text.contains("pinned")),
        "{pinned:?}"
    );
    pin(None, Some("edge"));
    let error = format!("{:#}", machine.update(&check).unwrap_err());
    assert!(error.contains("vm.edge.json"), "{error}");
}

#[test]
fn the_settings_source_is_taken_by_the_timer() {
    let (releases, machine) = two();
    let folder = releases.folder();
    let settings = format!("sources = [\"{}\"]\n", folder.display());
    machine.put("etc/keelson/update.toml", settings.as_bytes());
    let order = Order {
        goal: Goal::Install,
        from: None,
        retry: false,
        by: OrderedBy::Timer,
    };
    assert_eq!(machine.update(&order).expect("it works"), installed("2"));
}

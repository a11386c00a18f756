//! Reboots of a machine that takes no lock: draining, users who are warned, and what comes in between.

use std::time::Duration;

use update_model::preparation::Drain;
use update_model::progress::State;
use update_model::record::Happened;
use updaterd::host::Question;

use crate::host::{Asked, TestHost, WaitingMachine};

const IMMEDIATE: &str = "reboot = \"immediate\"\nreboot-notice = 60\ndrain-timeout = 20\n";

fn machine(settings: &str) -> WaitingMachine {
    WaitingMachine::new("0123456789abcdef0123456789abcdef", settings)
}

fn with_host(settings: &str, host: TestHost) -> WaitingMachine {
    let mut machine = machine(settings);
    machine.host = host;
    machine
}

/// The last event.
fn last(machine: &WaitingMachine) -> Happened {
    let history = machine.record().history;
    history.back().expect("an event").what.clone()
}

#[test]
fn whoever_is_logged_in_is_warned_and_otherwise_it_is_at_once() {
    let alone = machine(IMMEDIATE);
    assert_eq!(alone.ask(), "the reboot happens now");
    assert_eq!(alone.asked(), [Asked::Reboot]);
    assert!(matches!(alone.record().state, State::Rebooting(_)));
    alone.boot_new(false);
    let text = alone.back_in_service().expect("nothing to do");
    assert_eq!(text, "nothing was done for a reboot");

    let users = || TestHost {
        users: vec!["ada".to_owned()],
        ..TestHost::default()
    };
    let watched = with_host(IMMEDIATE, users());
    watched.ask();
    assert_eq!(watched.asked(), [Asked::Notice(Duration::from_mins(1))]);
    let curt = with_host("reboot = \"immediate\"\nreboot-notice = 0\n", users());
    curt.ask();
    assert_eq!(curt.asked(), [Asked::Reboot]);
}

#[test]
fn work_is_moved_away_before_and_brought_back_after() {
    let machine = machine(IMMEDIATE);
    machine.hook("");
    machine.ask();
    assert_eq!(machine.asked(), [Asked::Reboot]);
    assert_eq!(machine.calls(), ["drain reboot into 2"]);
    // Not before it is healthy.
    machine.boot_new(false);
    let text = machine.back_in_service().expect("nothing to do");
    assert!(text.contains("is kept"), "{text}");
    assert_eq!(machine.calls().len(), 1);
    machine.fall_back();
    machine.back_in_service().expect("it works");
    let calls = machine.calls();
    assert_eq!(calls[1], "undrain the machine is back in service");
    machine.back_in_service().expect("nothing to do");
    assert_eq!(machine.calls().len(), 2);
}

#[test]
fn a_machine_that_cannot_be_drained_stays_and_says_why() {
    let machine = machine(IMMEDIATE);
    machine.hook("test $1 = undrain");
    let text = machine.ask();
    assert!(text.contains("50-test drain failed: exit code 1"), "{text}");
    assert_eq!(machine.asked(), []);
    assert_eq!(machine.calls().len(), 2);
    assert!(machine.why().contains("50-test"), "{}", machine.why());
    assert!(matches!(last(&machine), Happened::RebootCalledOff { .. }));
    assert!(matches!(
        machine.record().preparation.drain,
        Drain::Failed(_)
    ));
    // The next time it works.
    machine.hook("");
    assert_eq!(machine.ask(), "the reboot happens now");
    assert_eq!(machine.asked(), [Asked::Reboot]);
}

#[test]
fn draining_that_fails_need_not_matter() {
    let settings = format!("{IMMEDIATE}drain-failure = \"reboot\"\n");
    let machine = machine(&settings);
    machine.hook("test $1 = undrain");
    machine.ask();
    assert_eq!(machine.asked(), [Asked::Reboot]);
    machine.boot_new(true);
    machine.back_in_service().expect("it works");
    assert_eq!(machine.calls().len(), 2);
}

#[test]
fn what_is_called_off_is_undone() {
    let host = TestHost {
        users: vec!["ada".to_owned()],
        is_called_off: true,
        ..TestHost::default()
    };
    let called_off = with_host(IMMEDIATE, host);
    called_off.hook("");
    let text = called_off.ask();
    assert!(text.contains("somebody called it off"), "{text}");
    assert!(matches!(called_off.record().state, State::Staged(_)));
    assert_eq!(called_off.calls().len(), 2);
    assert!(!called_off.record().preparation.is_owed());

    let host = TestHost {
        is_stuck: true,
        ..TestHost::default()
    };
    let stuck = with_host(IMMEDIATE, host);
    let text = stuck.ask();
    assert!(text.contains("systemd does not want to"), "{text}");
    assert!(matches!(stuck.record().state, State::Staged(_)));
}

#[test]
fn outside_its_windows_a_machine_is_not_drained() {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system());
    let later = now
        .checked_add(jiff::SignedDuration::from_hours(3))
        .unwrap();
    let settings = format!(
        "reboot = {{ windows = [{{ start = \"{}\", minutes = 60 }}] }}\n",
        later.strftime("%H:%M")
    );
    let machine = machine(&settings);
    machine.hook("");
    let text = machine.ask();
    assert!(text.contains("waits for the window"), "{text}");
    assert_eq!(machine.asked(), [Asked::Again(Question::Update)]);
    assert_eq!(machine.calls(), Vec::<String>::new());
}

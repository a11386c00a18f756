//! What was begun is gone on with.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use update_model::progress::{State, Step};
use updaterd::run::{Goal, Order, run};
use updaterd::watcher::{Progress, Watcher};

use crate::fixture::{Build, Releases};
use crate::machine::{TestMachine, install_from, installed};

fn world() -> (Releases, TestMachine) {
    let releases = Releases::new();
    let first = Build::new("1");
    releases.release(&Build::new("2"), false);
    let machine = TestMachine::new(&first, &releases);
    (releases, machine)
}

/// Bytes that an installation on a machine of its own fetches.
fn sent_for_all(releases: &Releases) -> u64 {
    let machine = TestMachine::new(&Build::new("1"), releases);
    let (url, sent) = releases.serve();
    machine.update(&install_from(&url)).expect("it works");
    let sent = *sent.lock().unwrap();
    assert!(sent > 100_000, "{sent} bytes are too few to be true");
    sent
}

#[test]
fn a_download_is_not_fetched_again_for_the_installation() {
    let (releases, machine) = world();
    let (url, sent) = releases.serve();
    let download = Order {
        goal: Goal::Download,
        ..install_from(&url)
    };
    machine.update(&download).expect("it works");
    assert_eq!(machine.record().state, State::Idle);
    assert_eq!(machine.entries(), ["keelson_1.efi"]);
    assert_eq!(machine.boot(), "1");
    let before = std::mem::take(&mut *sent.lock().unwrap());
    let outcome = machine.update(&install_from(&url)).expect("it works");
    assert_eq!(outcome, installed("2"));
    let after = *sent.lock().unwrap();
    assert!(after < before / 8, "{before} bytes, and then {after} more");
    assert_eq!(machine.boot(), "2");
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_was() {
    let (releases, machine) = world();
    let all = sent_for_all(&releases);
    let frames = releases.frames();
    let whole = fs::read(&frames).unwrap();
    fs::write(&frames, &whole[..whole.len() * 3 / 4]).unwrap();
    let folder = releases.folder().display().to_string();
    machine.update(&install_from(&folder)).unwrap_err();
    assert!(matches!(machine.record().state, State::Failed(_)));
    assert_eq!(machine.boot(), "1");
    fs::write(&frames, &whole).unwrap();
    let (url, sent) = releases.serve();
    machine.update(&install_from(&url)).expect("it works");
    let rest = *sent.lock().unwrap();
    assert!(
        rest < all * 2 / 3,
        "{rest} of {all} bytes are fetched again"
    );
    assert_eq!(machine.boot(), "2");
}

/// The process is killed after each step: the record says what it was at, and the next run begins anew.
#[test]
fn a_killed_run_is_as_if_it_never_was() {
    for step in Step::ALL {
        let (releases, machine) = world();
        let source = releases.folder().display().to_string();
        machine.update(&install_from(&source)).expect("it works");
        let mut record = machine.record();
        let State::Staged(release) = record.state.clone() else {
            panic!("{:?}", record.state);
        };
        let slot = update_model::progress::Slot::B;
        record.state = State::Writing(update_model::progress::Writing {
            release,
            slot,
            step,
            waiting: None,
        });
        machine_facts::update_files::write_record(&machine.root, &record).unwrap();
        let outcome = machine.update(&install_from(&source)).expect("it works");
        assert_eq!(outcome, installed("2"), "{step:?}");
        assert_eq!(machine.boot(), "2");
    }
}

/// Ends the run at a report, wherever it is then, as a signal would: nothing more is written.
#[derive(Debug)]
struct Killer {
    reports_left: AtomicUsize,
}

impl Watcher for Killer {
    fn progress(&self, progress: Progress) {
        let left = self
            .reports_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        assert!(left.is_ok(), "killed while {}", progress.phase);
    }
}

/// In every phase and at every frame, with and without a reboot before the next run.
#[test]
fn a_run_that_is_killed_anywhere_is_made_up_for() {
    let releases = Releases::new();
    releases.release(&Build::new("2"), false);
    let order = install_from(&releases.folder().display().to_string());
    let mut killed = 0;
    for reports_left in (0..200).map(AtomicUsize::new) {
        let machine = TestMachine::new(&Build::new("1"), &releases);
        let watcher = Killer { reports_left };
        let ended = catch_unwind(AssertUnwindSafe(|| run(&machine.root, &order, &watcher)));
        if let Ok(outcome) = ended {
            assert_eq!(outcome.expect("it works"), installed("2"));
            assert!(killed > 20, "{killed} reports are too few to be true");
            return;
        }
        killed += 1;
        assert_eq!(machine.entries(), ["keelson_1.efi"], "report {killed}");
        if killed % 2 == 0 {
            assert_eq!(machine.boot(), "1");
        }
        let outcome = machine.update(&order).expect("it works");
        assert_eq!(outcome, installed("2"), "report {killed}");
        assert_eq!(machine.boot(), "2");
    }
    panic!("the run never came to its end");
}

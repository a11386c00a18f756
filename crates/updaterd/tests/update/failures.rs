//! What is refused or fails, and leaves disk and ESP as they were.

use std::fs;

use disk_format::disk::Disk as _;
use disk_format::gpt::{PartitionTable, SectorSize};
use jiff::SignedDuration;
use update_model::progress::State;
use update_model::record::Attempts;
use updaterd::run::{Order, OrderedBy, Outcome};

use crate::fixture::{Build, Releases};
use crate::machine::{TestMachine, install_from};

fn world() -> (Releases, TestMachine) {
    let releases = Releases::new();
    releases.release(&Build::new("2"), false);
    let machine = TestMachine::new(&Build::new("1"), &releases);
    (releases, machine)
}

/// The update fails, and nothing is changed.
fn refused(releases: &Releases, machine: &TestMachine) -> String {
    let before = machine.contents();
    let order = install_from(&releases.folder().display().to_string());
    let error = format!("{:#}", machine.update(&order).unwrap_err());
    assert!(machine.contents() == before, "{error}");
    error
}

#[test]
fn another_key_s_signature_is_refused_and_the_timer_waits() {
    let (releases, machine) = world();
    machine.put(
        "etc/keelson/update-root.json",
        &Releases::new().trusted_root(),
    );
    let error = refused(&releases, &machine);
    assert!(error.contains("metadata is not accepted"), "{error}");
    assert!(matches!(machine.record().state, State::Failed(_)));
    assert!(matches!(
        machine.record().attempts,
        Attempts::Failing { failures: 1, .. }
    ));
    let line = machine.root.read_text("/run/motd.d/60-keelson-update");
    assert!(line.unwrap().contains("osctl why"));
    let by_timer = Order {
        by: OrderedBy::Timer,
        ..install_from("/nowhere")
    };
    let outcome = machine.update(&by_timer).expect("it waits");
    assert!(matches!(outcome, Outcome::NotDue(_)), "{outcome:?}");
    // Put right, an order by hand works at once.
    machine.put("etc/keelson/update-root.json", &releases.trusted_root());
    machine
        .update(&install_from(&releases.folder().display().to_string()))
        .expect("it works");
    assert_eq!(machine.record().attempts, Attempts::Fine);
    assert!(!machine.root.exists("/run/motd.d/60-keelson-update"));
}

#[test]
fn settings_that_cannot_be_read_are_told_at_login_until_they_are_put_right() {
    let (releases, machine) = world();
    machine.put("etc/keelson/update.toml", b"channel = 7\n");
    let error = refused(&releases, &machine);
    assert!(error.contains("/etc/keelson/update.toml"), "{error}");
    let line = machine.root.read_text("/run/motd.d/60-keelson-update");
    assert!(line.unwrap().contains("update.toml: line 1"));
    machine.put("etc/keelson/update.toml", b"");
    machine
        .update(&install_from(&releases.folder().display().to_string()))
        .expect("it works");
    assert!(!machine.root.exists("/run/motd.d/60-keelson-update"));
}

#[test]
fn a_missing_root_of_trust_says_what_to_do() {
    let (releases, machine) = world();
    fs::remove_file(machine.root.path("/etc/keelson/update-root.json")).unwrap();
    let error = refused(&releases, &machine);
    assert!(error.contains("/etc/keelson/update-root.json"), "{error}");
    assert!(error.contains("root-of-trust"), "{error}");
}

#[test]
fn a_release_that_does_not_fit_is_refused_before_anything_is_written() {
    let (releases, machine) = world();
    let path = machine.root.path("/dev/vda");
    let mut disk = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let length = disk.metadata().unwrap().len();
    let mut table = PartitionTable::read(&mut disk, SectorSize::Bytes512).unwrap();
    for partition in table.partitions.values_mut() {
        if partition.name == "root-b" {
            partition.length_bytes = 512 << 10;
        }
    }
    table.write(&mut disk, length).unwrap();
    disk.sync().unwrap();
    let error = refused(&releases, &machine);
    assert!(
        error.contains("the root partition has 524288 bytes"),
        "{error}"
    );
}

#[test]
fn a_replayed_directory_is_refused() {
    let (releases, machine) = world();
    let folder = releases.folder();
    let old = tempfile::tempdir().unwrap();
    copy(&folder, old.path());
    releases.release(&Build::new("3"), false);
    let check = Order {
        goal: updaterd::run::Goal::Check,
        ..install_from(&folder.display().to_string())
    };
    machine.update(&check).expect("it works");
    let replayed = install_from(&old.path().display().to_string());
    let error = format!("{:#}", machine.update(&replayed).unwrap_err());
    assert!(error.contains("metadata is not accepted"), "{error}");
}

/// A mirror that no longer follows cannot be told from one with no news, until what it sends ends.
#[test]
fn a_frozen_mirror_is_told_once_its_metadata_ends() {
    let (releases, machine) = world();
    let order = install_from(&releases.folder().display().to_string());
    let hours = SignedDuration::from_hours;
    machine.update(&order).expect("it works");
    releases.sign_again(hours(24), hours(23));
    let outcome = machine.update(&order).expect("no news");
    assert_eq!(outcome, Outcome::Waiting("2".parse().unwrap()));
    releases.sign_again(hours(24), hours(25));
    let error = refused(&releases, &machine);
    assert!(error.contains("timestamp.json"), "{error}");
    assert!(error.to_lowercase().contains("expired"), "{error}");
    let Attempts::Failing { reason, .. } = machine.record().attempts else {
        panic!("{:?}", machine.record());
    };
    assert!(reason.to_lowercase().contains("expired"), "{reason}");
    releases.sign_again(hours(24), hours(0));
    machine.update(&order).expect("it follows again");
    assert_eq!(machine.record().attempts, Attempts::Fine);
}

#[test]
fn what_waits_for_its_reboot_still_does_after_a_failure() {
    let (releases, machine) = world();
    let order = install_from(&releases.folder().display().to_string());
    machine.update(&order).expect("it works");
    let staged = machine.record().state;
    assert!(matches!(staged, State::Staged(_)), "{staged:?}");
    machine.update(&install_from("/nowhere")).unwrap_err();
    assert_eq!(machine.record().state, staged);
    let failing = matches!(
        machine.record().attempts,
        Attempts::Failing { failures: 1, .. }
    );
    assert!(failing, "{:?}", machine.record());
    assert_eq!(machine.boot(), "2");
    drop(updaterd::keeper::Keeper::take(&machine.root).expect("nobody has it"));
    let state = machine.record().state;
    assert!(matches!(state, State::AwaitingHealth(_)), "{state:?}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn one_run_at_a_time() {
    let (releases, machine) = world();
    let held = updaterd::keeper::Keeper::take(&machine.root).expect("nobody has it");
    let order = install_from(&releases.folder().display().to_string());
    let error = machine.update(&order).unwrap_err().to_string();
    assert!(error.contains("under way already"), "{error}");
    drop(held);
    machine.update(&order).expect("it works");
}

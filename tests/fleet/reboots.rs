//! A machine that reboots by itself, with the real systemd-logind: who is logged in is told and has time, and can
//! call it off; if nobody is, it goes down at once.

use std::path::Path;

use jiff::Timestamp;
use keelson_qemu::{GuestFile, NamespaceMachine, RunningNamespace};
use update_model::progress::{Release, State};
use update_model::record::Record;

use crate::machine::{BOOT, SOON, wait_for};
use crate::root::{root_tree, work_folder};

const SETTINGS: &str = "reboot = \"immediate\"\nreboot-notice = 600\n";
/// Says what it is called with.
const HOOK: &str = "#!/bin/sh\necho \"$1\" >>/var/drained\n";
/// What `/init` would have left.
const FACTS: &str = "\
version = \"1\"
root_hash = \"0101010101010101010101010101010101010101010101010101010101010101\"
slot = \"a\"
disk = \"/dev/vda\"
root = \"/dev/vda1\"
verity = true
boot_path = \"uefi\"
counted = false
first_boot = false
failed_boots = 0

[steps_milliseconds]
";

/// A record whose version 2 waits for a reboot.
fn record() -> String {
    let release = Release {
        version: "2".parse().expect("a version"),
        root_hash: "02".repeat(32).parse().expect("a root hash"),
    };
    let mut record = Record::default();
    record.enter(State::Staged(release), Timestamp::UNIX_EPOCH);
    record.to_json()
}

fn boot(folder: &Path) -> RunningNamespace {
    let mut machine = NamespaceMachine::new("m6", root_tree());
    machine
        .masked
        .extend(["kvd.service", "keelson-health.service"].map(ToOwned::to_owned));
    machine.files.extend([
        GuestFile::new("/etc/keelson/update.toml", SETTINGS),
        GuestFile::new("/var/lib/keelson/update/record.json", record()),
        GuestFile::executable("/etc/keelson/drain.d/50-test", HOOK),
        GuestFile::new("/opt/facts.toml", FACTS),
    ]);
    let running = machine
        .start(folder, None)
        .unwrap_or_else(|error| panic!("{error}"));
    running
        .wait_booted(BOOT)
        .unwrap_or_else(|error| panic!("{error}"));
    let init = "mkdir -p /run/keelson && cp /opt/facts.toml /run/keelson/boot.toml && \
                touch /run/keelson/update-boot-seen";
    run(&running, &["sh", "-c", init]);
    running
}

fn run(machine: &RunningNamespace, words: &[&str]) -> String {
    let result = machine.run(words, SOON);
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn ask_for_reboot(machine: &RunningNamespace) {
    let words = "busctl --system --expect-reply=no call org.keelson.Update1 /org/keelson/Update1 \
                 org.keelson.Update1.Manager RebootWhenItSuits";
    run(machine, &words.split(' ').collect::<Vec<_>>());
}

/// What logind says of a shutdown to come.
fn scheduled(machine: &RunningNamespace) -> String {
    let words = "busctl get-property org.freedesktop.login1 /org/freedesktop/login1 \
                 org.freedesktop.login1.Manager ScheduledShutdown";
    run(machine, &words.split(' ').collect::<Vec<_>>())
}

fn journal(machine: &RunningNamespace) -> String {
    let words = [
        "journalctl",
        "--unit",
        "updaterd.service",
        "--output",
        "cat",
    ];
    run(machine, &words)
}

#[test]
fn users_are_warned_can_call_it_off_and_are_waited_for_only_while_they_are_there() {
    let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
    let machine = boot(folder.path());
    let log_in = "systemd-run --quiet --unit=visitor --property=PAMName=login --property=User=root \
                  --setenv=XDG_SESSION_CLASS=user sleep 1000";
    run(&machine, &log_in.split(' ').collect::<Vec<_>>());
    wait_for("a session", || {
        let sessions = run(&machine, &["loginctl", "list-sessions", "--no-legend"]);
        sessions.contains("root").then_some(())
    });
    ask_for_reboot(&machine);
    wait_for("a reboot to come", || {
        scheduled(&machine).contains("reboot").then_some(())
    });
    assert_eq!(run(&machine, &["cat", "/var/drained"]), "drain\n");
    run(&machine, &["shutdown", "-c"]);
    wait_for("its end", || {
        journal(&machine)
            .contains("called off: somebody called it off")
            .then_some(())
    });
    assert_eq!(run(&machine, &["cat", "/var/drained"]), "drain\nundrain\n");

    run(&machine, &["systemctl", "stop", "visitor.service"]);
    wait_for("no session", || {
        let sessions = run(&machine, &["loginctl", "list-sessions", "--no-legend"]);
        sessions.trim().is_empty().then_some(())
    });
    let init = machine.process_id();
    ask_for_reboot(&machine);
    wait_for("the machine to go down", || {
        let is_gone = std::fs::read_to_string(format!("/proc/{init}/cmdline"))
            .map_or(true, |line| line.is_empty());
        is_gone.then_some(())
    });
}

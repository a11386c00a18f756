//! The machines themselves: they boot, run commands, reach each other, and leave nothing behind.

use std::path::Path;
use std::time::Duration;

use keelson_qemu::{Bind, Bridge, GuestFile, NamespaceMachine, RunningNamespace};

use crate::root::{root_tree, work_folder};

/// On a busy host; a good boot takes a second.
pub(crate) const BOOT: Duration = Duration::from_mins(2);
/// For a command in a machine.
pub(crate) const SOON: Duration = Duration::from_mins(1);

const HELLO: &str = "\
[Unit]
Description=Says where it is

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo at $(hostname); cat /opt/bound/hosts >/dev/null'
";

fn machine(name: &str, address: Option<&str>) -> NamespaceMachine {
    let mut machine = NamespaceMachine::new(name, root_tree());
    machine.address = address.map(ToOwned::to_owned);
    machine.machine_id = Some(format!("{:0>32}", &name[1..]));
    machine
        .masked
        .extend(["kvd.service", "keelson-health.service", "etcd.service"].map(ToOwned::to_owned));
    machine
        .files
        .push(GuestFile::new("/etc/systemd/system/hello.service", HELLO));
    machine.binds.push(Bind {
        source: "/etc".into(),
        target: "/opt/bound".into(),
    });
    machine
}

fn boot(name: &str, folder: &Path, bridge: Option<(&Bridge, &str)>) -> RunningNamespace {
    let machine = machine(name, bridge.map(|(_, address)| address));
    let running = machine
        .start(folder, bridge.map(|(bridge, _)| bridge))
        .unwrap_or_else(|error| panic!("{error}"));
    running
        .wait_booted(BOOT)
        .unwrap_or_else(|error| panic!("{error}"));
    running
}

fn mounts() -> String {
    std::fs::read_to_string("/proc/self/mounts").expect("mounts")
}

/// Every process that has a word in its command line.
fn processes_with(word: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(word))
        .collect()
}

#[test]
fn two_machines_boot_reach_each_other_and_vanish() {
    let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
    let before = mounts();
    let bridge = Bridge::create("10.99.0.1", 24).unwrap_or_else(|error| panic!("{error}"));
    let one = boot("m1", folder.path(), Some((&bridge, "10.99.0.2")));
    let two = boot("m2", folder.path(), Some((&bridge, "10.99.0.3")));
    let run = |machine: &RunningNamespace, words: &[&str]| {
        let result = machine.run(words, SOON);
        result.unwrap_or_else(|error| panic!("{error}"))
    };
    assert_eq!(run(&one, &["hostname"]), "m1\n");
    assert_eq!(
        run(&two, &["cat", "/etc/machine-id"]),
        "00000000000000000000000000000002\n"
    );
    run(&one, &["systemctl", "start", "hello.service"]);
    let journal = run(
        &one,
        &["journalctl", "--unit", "hello.service", "--output", "cat"],
    );
    assert!(journal.contains("at m1"), "{journal}");
    let ping = ["ping", "-c", "1", "-W", "30", "10.99.0.3"];
    run(&one, &ping);
    let (status, _, errors) = one
        .output(&["touch", "/opt/bound/written"], SOON)
        .expect("touch runs");
    assert!(!status.success(), "the host is read-only: {errors}");

    bridge.cut("m2").expect("the cable is pulled");
    let cut = one.output(&["ping", "-c", "1", "-W", "1", "10.99.0.3"], SOON);
    assert!(!cut.expect("ping runs").0.success());
    bridge.mend("m2").expect("the cable is back");
    run(&one, &ping);

    let own = folder.path().display().to_string();
    drop((one, two, bridge));
    assert_eq!(mounts(), before);
    assert_eq!(processes_with(&own), Vec::<String>::new());
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(left, 0, "run directories are gone");
}

#[test]
fn what_is_written_survives_a_power_cut() {
    let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
    let mut machine = boot("m3", folder.path(), None);
    let first = machine.process_id();
    machine
        .run(&["sh", "-c", "echo kept >/var/kept; sync"], SOON)
        .expect("written");
    machine.kill();
    machine.boot_again(None).expect("it starts again");
    machine.wait_booted(BOOT).expect("it boots again");
    assert_ne!(machine.process_id(), first);
    assert_eq!(
        machine.run(&["cat", "/var/kept"], SOON).expect("read"),
        "kept\n"
    );
    machine.power_off(BOOT).expect("it ends in order");
    let text = machine.console().text();
    assert!(text.contains("Reached target"), "{text}");
}

#[test]
fn a_root_that_is_none_is_an_error_that_says_why() {
    let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
    let mut machine = machine("m4", None);
    machine.root = keelson_qemu::RootTree::Directory("/nonexistent".into());
    let error = machine
        .start(folder.path(), None)
        .expect_err("no such root");
    let text = error.to_string();
    assert!(text.contains("mount"), "{text}");
    drop(error);
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(left, 0, "run directories are gone");
}

/// Tells the helper where to put its machine.
const HELPER_VARIABLE: &str = "KEELSON_FLEET_TEST_FOLDER";

/// The body of the process that is killed below; in a usual run of the tests it does nothing.
#[test]
fn helper() {
    let Some(folder) = std::env::var_os(HELPER_VARIABLE) else {
        return;
    };
    let machine = boot("m5", Path::new(&folder), None);
    std::fs::write(
        Path::new(&folder).join("booted"),
        machine.process_id().to_string(),
    )
    .expect("the folder can be written");
    loop {
        std::thread::sleep(SOON);
    }
}

#[test]
fn a_machine_dies_with_the_process_that_started_it() {
    let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
    let program = std::env::current_exe().expect("this test program");
    let mut helper = std::process::Command::new(program)
        .args(["--exact", "machine::helper"])
        .env(HELPER_VARIABLE, folder.path())
        .spawn()
        .expect("this test program starts again");
    let booted = folder.path().join("booted");
    let init = wait_for("the helper's machine", || {
        let text = std::fs::read_to_string(&booted).ok()?;
        (!text.is_empty()).then_some(text)
    });
    let stat = format!("/proc/{init}/cmdline");
    assert!(std::fs::read_to_string(&stat).is_ok_and(|line| line.contains("systemd")));
    helper.kill().expect("killed");
    helper.wait().expect("reaped");
    let own = folder.path().display().to_string();
    wait_for("the machine's end", || {
        let is_gone = !std::fs::read_to_string(&stat).is_ok_and(|line| line.contains("systemd"));
        (is_gone && processes_with(&own).is_empty()).then_some(())
    });
    assert!(!mounts().contains(&own));
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + BOOT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

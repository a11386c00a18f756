//! What is left of whoever is killed, at any moment, and images that go when the disk is full.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::archive;
use crate::fixture::{Node, unit};
use crate::pull::{fill, registry};

/// So small that images fill it.
const SMALL: &str =
    "[Mount]\nWhat=tmpfs\nWhere=/var/lib/containerd\nType=tmpfs\nOptions=size=48M\n";
/// A pull of it needs more than there is.
const LARGE: usize = 16 << 20;
const POLICY: &str = "keep-used-within = \"0\"\nhigh-percent = 3\nlow-percent = 1\n";
const MONITOR: &str = "/usr/lib/keelson/launch-monitor";

fn prune(node: &Node, options: &[&str]) -> Value {
    let words = [&["launch", "prune", "--json"], options].concat();
    serde_json::from_str(&node.run(&words)).expect("JSON")
}

fn names(list: &Value) -> Vec<&str> {
    let all = list.as_array().expect("a list");
    all.iter()
        .map(|one| one["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn images_go_by_policy_and_not_those_that_are_needed() {
    let idle = unit("", "busybox:saved", "sleep 1000");
    let node = Node::with_image(
        "k1",
        &[
            ("/etc/systemd/system/var-lib-containerd.mount", SMALL),
            ("/etc/systemd/system/web.service", &idle),
        ],
    );
    node.load("layout.tar");
    let (saved, layout) = (
        "docker.io/library/busybox:saved",
        "docker.io/library/busybox:layout",
    );

    // What cannot fit is refused before any of it is fetched.
    let registry = registry(&node, 5000);
    let parts = archive::parts(LARGE);
    fill(&registry, &parts);
    let (status, _, errors) = node.output(&["launch", "pull", "127.0.0.1:5000/team/app:1"]);
    assert_eq!(status.code(), Some(125));
    assert!(
        errors.contains("127.0.0.1:5000/team/app:1 does not fit: "),
        "{errors}"
    );
    assert!(errors.contains("of 48 MiB are free"), "{errors}");
    assert_eq!(registry.served(), 0);

    let report = prune(&node, &["--dry-run"]);
    assert_eq!(names(&report["images"]), [layout]);
    assert_eq!(names(&report["kept"]), [saved]);
    assert_eq!(
        report["kept"][0]["because"],
        "/etc/systemd/system/web.service names it"
    );
    assert!(
        report["freed"]
            .as_u64()
            .is_some_and(|bytes| bytes > 100_000),
        "{report}"
    );
    // Both were used just now, and the disk has room.
    assert_eq!(
        names(&prune(&node, &["--keep-used-within=1h"])["images"]),
        [""; 0]
    );
    assert_eq!(names(&prune(&node, &["--policy"])["images"]), [""; 0]);
    assert_dry_runs_tell(&node);
    let write = format!("mkdir -p /etc/keelson; printf '{POLICY}' >/etc/keelson/housekeeping.toml");
    node.run(&["sh", "-c", &write]);
    node.run(&["systemctl", "start", "keelson-housekeeping.service"]);
    let listed = node.run(&["launch", "images"]);
    assert!(
        listed.contains(saved) && !listed.contains(layout),
        "{listed}"
    );
    // Nothing is left that may go, which is told.
    let journal = node.run(&["journalctl", "--unit=keelson-housekeeping", "--output=cat"]);
    assert!(journal.contains(layout), "{journal}");
    assert!(journal.contains("no image is left that"), "{journal}");

    node.run(&["sh", "-c", "echo colour=1 >/etc/keelson/housekeeping.toml"]);
    let (status, _, errors) = node.output(&["launch", "prune", "--policy"]);
    assert_eq!(status.code(), Some(125));
    assert!(
        errors.contains("/etc/keelson/housekeeping.toml: TOML parse error at line 1"),
        "{errors}"
    );
}

/// What would go, or why nothing would, where one image may go and the disk has room.
fn assert_dry_runs_tell(node: &Node) {
    let said = node.run(&["launch", "prune", "--policy", "--dry-run"]);
    let expected = "no image would go: /var/lib/containerd is ";
    assert!(
        said.starts_with(expected) && said.contains("more than 80 %"),
        "{said}"
    );
    let said = node.run(&["launch", "prune", "--dry-run"]);
    assert!(
        said.contains(" MiB would be free") && !said.contains("\n0 MiB"),
        "{said}"
    );
}

/// Nothing is left to be removed, and `launch prune` says so, too.
fn assert_clean(node: &Node) {
    let report = prune(node, &["--keep-used-within=1d"]);
    assert_eq!(report["containers"], serde_json::json!([]), "{report}");
    assert_eq!(report["leases"], 0, "{report}");
    node.assert_nothing_left();
}

#[test]
fn whoever_is_killed_leaves_nothing_that_is_not_removed() {
    let node = Node::with_image("k2", &[]);
    // Before anything was unpacked twice.
    node.shell(&[], "true");
    between_the_mount_and_the_payload(&node);
    at_any_moment(&node);
    in_the_middle_of_loading(&node);
    // containerd, too, while a container runs.
    let words = [
        "systemd-run",
        "--quiet",
        "--unit=idle",
        "--property=Delegate=yes",
        "--property=DelegateSubgroup=launch",
        "launch",
        "run",
        "--network=none",
        "busybox:saved",
        "sleep",
        "1000",
    ];
    node.run(&words);
    node.wait(&["launch", "ps"], "running");
    node.run(&["systemctl", "kill", "--signal=KILL", "containerd.service"]);
    node.run(&[
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "idle.service",
    ]);
    node.wait(
        &[
            "sh",
            "-c",
            "launch prune --keep-used-within=1d && echo done",
        ],
        "done",
    );
    assert_clean(&node);
}

/// The monitor is a program here that does nothing, so that the launcher is killed when it has just become it.
fn between_the_mount_and_the_payload(node: &Node) {
    node.run(&[
        "sh",
        "-c",
        "printf '#!/bin/sh\\nexec sleep 1000\\n' >/var/deaf; chmod 755 /var/deaf",
    ]);
    node.run(&["mount", "--bind", "/var/deaf", MONITOR]);
    let words = [
        "systemd-run",
        "--quiet",
        "--unit=half",
        "launch",
        "run",
        "--volume=/srv",
        "busybox:saved",
        "true",
    ];
    node.run(&words);
    node.wait(
        &[
            "sh",
            "-c",
            "ls /run/keelson/launch/half/config.json; cat /proc/[0-9]*/comm",
        ],
        "sleep",
    );
    node.wait(&["ls", "/run/keelson/launch/half"], "config.json");
    node.run(&[
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "half.service",
    ]);
    node.run(&["umount", MONITOR]);
    let report = prune(node, &["--keep-used-within=1d"]);
    assert_eq!(
        report["containers"],
        serde_json::json!(["half"]),
        "{report}"
    );
    assert_clean(node);
    assert_eq!(node.run(&["nft", "list", "tables"]), "");
    assert_eq!(
        node.run(&["launch", "volume", "ls"]),
        "NAME   USED   PATH\n"
    );
}

/// From the launcher's first step to the payload's end.
fn at_any_moment(node: &Node) {
    for step in 0..8 {
        let mut command = node.command("systemd-run");
        command.args(["--quiet", "--pipe", "--wait", "--collect"]);
        command.args([
            "--property=Delegate=yes",
            "--property=DelegateSubgroup=launch",
        ]);
        command.args(["launch", "run", "--network=none", "--name=hunted"]);
        command.args(["busybox:saved", "sleep", "1"]);
        kill_after(node, command, Duration::from_millis(10 + step * 25));
    }
    prune(node, &["--keep-used-within=1d"]);
    assert_clean(node);
}

fn in_the_middle_of_loading(node: &Node) {
    for step in 0..4 {
        let mut command = node.command("launch");
        command.args(["load", "/opt/archives/layout.tar"]);
        kill_after(node, command, Duration::from_millis(10 + step * 20));
    }
    node.run(&["sh", "-c", "launch rmi busybox:layout || true"]);
    prune(node, &["--keep-used-within=1d"]);
    assert_clean(node);
}

/// Every process of `launch`, and of what it became.
fn kill_after(node: &Node, mut command: std::process::Command, time: Duration) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("it starts");
    std::thread::sleep(time);
    let script = "kill -9 $(grep -lxE 'launch|launch-monitor|crun|sleep' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3)";
    let _killed = node.output(&["sh", "-c", script]);
    let _ended = child.wait();
}

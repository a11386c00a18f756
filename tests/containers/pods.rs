//! Pods of Quadlet files on a machine: what containers share, how they start and stop with it, and what is left.

use crate::fixture::{KILL_CLIENTS, Node};

const FOLDER: &str = "/etc/containers/systemd";

/// A container in the pod.
fn member(lines: &str, script: &str) -> String {
    format!(
        "[Container]\nImage=busybox:saved\nPod=shop.pod\nStopTimeout=1\n{lines}Exec=sh -c '{script}'\n"
    )
}

fn node(name: &str, pod: &str) -> Node {
    let web = member(
        "",
        "mkdir /www; echo web >/www/index.html; exec busybox httpd -f -p 80 -h /www",
    );
    let db = member("", "echo shared >/dev/shm/note; exec sleep 1000");
    let late = member(
        "StartWithPod=no\n",
        "hostname; cat /dev/shm/note; wget -q -O - http://127.0.0.1/; cat /etc/hosts; exec sleep 1000",
    );
    let path = |file: &str| format!("{FOLDER}/{file}");
    let files = [
        (path("shop.pod"), pod.to_owned()),
        (path("web.container"), web),
        (path("db.container"), db),
        (path("late.container"), late),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    Node::with_image(name, &files)
}

fn state(node: &Node, unit: &str) -> String {
    node.property(unit, "ActiveState")
}

/// What a file of a container's first process leads to.
fn namespace(node: &Node, container: &str, kind: &str) -> String {
    node.run(&[
        "launch",
        "exec",
        container,
        "readlink",
        &format!("/proc/1/ns/{kind}"),
    ])
}

fn assert_no_pod(node: &Node) {
    node.wait(&["sh", "-c", "ls -A /run/keelson/pods | wc -l"], "0");
    let mounts = node.run(&["cat", "/proc/1/mounts"]);
    assert!(!mounts.contains("/run/keelson/pods"), "{mounts}");
    let left =
        "ls -A /run/keelson/networks/containers | wc -l; ls /sys/class/net | grep -c '^k[bv]-'";
    assert_eq!(node.output(&["sh", "-c", left]).1, "0\n0\n");
}

#[test]
fn containers_of_a_pod_share_its_network_and_memory() {
    let node = node(
        "p1",
        "[Pod]\nPublishPort=8080:80\nHostName=shop1\nAddHost=up:10.9.8.7\n",
    );
    node.run(&["systemctl", "start", "shop-pod.service"]);
    for unit in ["shop-pod.service", "web.service", "db.service"] {
        node.wait(&["systemctl", "is-active", unit], "active\n");
    }
    assert_eq!(state(&node, "late.service"), "inactive");
    node.wait(&["curl", "-s", "http://127.0.0.1:8080/"], "web\n");

    node.run(&["systemctl", "start", "late.service"]);
    let line = ["journalctl", "--unit=late.service", "--output=cat"];
    let said = node.wait(&line, "10.9.8.7\tup");
    for expected in ["shop1\n", "shared\n", "web\n", "\tshop1\n"] {
        assert!(said.contains(expected), "{said}");
    }
    for kind in ["net", "ipc", "uts"] {
        let of = |container: &str| namespace(&node, container, kind);
        assert_eq!(of("web"), of("late"), "{kind}");
    }
    let of = |container: &str| namespace(&node, container, "pid");
    assert_ne!(of("web"), of("late"));

    // The port and the network are the pod's, although nobody of the launcher runs that made it.
    let (code, _, errors) = node.launch_with(&["--publish=8080:80"], "busybox:saved", &["true"]);
    assert_eq!(code, Some(125));
    assert!(errors.contains("8080"), "{errors}");
    node.run(&["launch", "prune"]);
    node.run(&["systemctl", "restart", "web.service"]);
    node.wait(&["curl", "-s", "http://127.0.0.1:8080/"], "web\n");

    node.run(&["systemctl", "stop", "shop-pod.service"]);
    for unit in [
        "shop-pod.service",
        "web.service",
        "db.service",
        "late.service",
    ] {
        assert_ne!(state(&node, unit), "active", "{unit}");
    }
    assert_no_pod(&node);
    node.assert_nothing_left();
}

#[test]
fn a_pod_comes_and_goes_with_its_containers() {
    let node = node("p2", "[Pod]\nNetwork=none\n");
    node.run(&["systemctl", "start", "web.service"]);
    assert_eq!(state(&node, "shop-pod.service"), "active");
    node.wait(&["systemctl", "is-active", "db.service"], "active\n");
    let ping = "wget -q -O - http://127.0.0.1/";
    node.wait(&["launch", "exec", "db", "sh", "-c", ping], "web\n");
    // Whatever happens to a launcher happens to no pod.
    let _killed = node.output(&["sh", "-c", KILL_CLIENTS]);
    node.run(&["systemctl", "stop", "web.service"]);
    assert_eq!(state(&node, "shop-pod.service"), "active", "db is in it");
    node.run(&["systemctl", "stop", "db.service"]);
    node.wait(
        &["systemctl", "is-active", "shop-pod.service"],
        "inactive\n",
    );
    assert_no_pod(&node);

    // Without its unit there is none, and none is made.
    let (code, _, errors) = node.launch_with(&["--pod=shop"], "busybox:saved", &["true"]);
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("there is no pod shop: start the unit"),
        "{errors}"
    );
    let (status, _, errors) = node.output(&["launch", "pod", "create", "shop"]);
    assert!(
        !status.success() && errors.contains("shop-pod.service"),
        "{errors}"
    );
    assert_no_pod(&node);
}

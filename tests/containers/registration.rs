//! Containers registered in a real kvd by a real fleetd, and withdrawn before they are told to end.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engine::docker;
use crate::fixture::{Node, SERVICE, unit};

const SETTINGS: &str =
    "layouts = [\"keelson\", \"skydns\", \"registrator\"]\n[skydns]\ndomain = \"cluster.local\"\n";
const FLEET: &str = "public-ip = \"10.9.8.7\"\nagent-ttl = \"20s\"\n";
/// It is healthy while a file is there, says by another one that it was told to end, and waits for a third.
const OPTIONS: &str = "--volume=/var/state:/srv --health-interval=100ms --health-retries=1 \"--health-cmd=test -e /srv/well\"";
const OBEDIENT: &str = "sh -c 'trap \"touch /srv/told; until [ -e /srv/go ]; do sleep 0.05; done; exit 0\" TERM; while :; do sleep 0.05; done'";
const SERVICES: &str = "/keelson/services/";
/// What the monitor says after it waited in vain.
const UNHEARD: &str = "is stopped before the key-value store has heard of it";
const WEB: &str = "/keelson/services/web/";

fn web() -> String {
    let register = "--register=name=web,port=8080,tag=a --register=name=dns,port=53/udp";
    unit(&format!("{OPTIONS} {register}"), "busybox:saved", OBEDIENT)
        .replace("--network=none", "--network=host")
}

/// Registrator's variables, and a port that is published.
fn api() -> String {
    format!(
        "[Service]\n{SERVICE}ExecStart=/usr/bin/launch run --stop-timeout=1 --env=SERVICE_NAME=api --publish=18080:80 \
         --label=keelson.register=name=labelled,port=80 busybox:saved sleep 1000\n"
    )
}

fn node() -> Node {
    let node = Node::with_image(
        "g1",
        &[
            ("/etc/keelson/registration.toml", SETTINGS),
            ("/etc/keelson/fleet.toml", FLEET),
            ("/etc/systemd/system/web.service", &web()),
            ("/etc/systemd/system/api.service", &api()),
            ("/var/state/other", ""),
        ],
    );
    node.run(&[
        "rm",
        "/etc/systemd/system/kvd.service",
        "/etc/systemd/system/fleetd.service",
    ]);
    node.run(&["systemctl", "daemon-reload"]);
    node.run(&["systemctl", "start", "kvd.service", "fleetd.service"]);
    registered_machine(&node);
    node
}

/// The machine itself is known to the store.
fn registered_machine(node: &Node) {
    node.wait(
        &[
            "systemctl",
            "show",
            "--property=StatusText",
            "fleetd.service",
        ],
        "=Registered",
    );
}

fn get(node: &Node, prefix: &str) -> Vec<Value> {
    let words = [
        "kvctl",
        "--v3",
        "get",
        "--prefix",
        prefix,
        "--write-out=json",
    ];
    let answer: Value = serde_json::from_str(&node.run(&words)).expect("JSON");
    answer["kvs"].as_array().cloned().unwrap_or_default()
}

fn plain(node: &Node, prefix: &str) -> String {
    node.run(&["kvctl", "--v3", "get", "--prefix", prefix])
}

fn wait_for_key(node: &Node, prefix: &str, text: &str) {
    node.wait(&["kvctl", "--v3", "get", "--prefix", prefix], text);
}

fn wait_for_none(node: &Node, prefix: &str) {
    let script = format!("echo \"[$(kvctl --v3 get --prefix {prefix})]\"");
    node.wait(&["sh", "-c", &script], "[]");
}

fn inspected(node: &Node, name: &str) -> Value {
    let all: Value = serde_json::from_str(&node.run(&["launch", "inspect", name])).expect("JSON");
    all[0]["registration"].clone()
}

fn status_text(node: &Node, text: &str) {
    node.wait(
        &["systemctl", "show", "--property=StatusText", "web.service"],
        text,
    );
}

fn set_health(node: &Node, is_well: bool) {
    let script = if is_well {
        "touch /var/state/well"
    } else {
        "rm /var/state/well"
    };
    node.run(&["sh", "-c", script]);
}

#[test]
fn containers_are_registered_while_they_can_be_used() {
    let node = node();
    let watch = "exec kvctl --v3 watch --prefix /keelson/services/web/";
    node.run(&["systemd-run", "--quiet", "--unit=watch", "sh", "-c", watch]);
    node.run(&["systemctl", "start", "web.service"]);
    node.wait(&["launch", "inspect", "web"], "unhealthy");
    assert_eq!(inspected(&node, "web")["state"], "withheld");
    assert_eq!(plain(&node, SERVICES), "");

    set_health(&node, true);
    status_text(&node, "=Running; healthy; registered");
    assert_eq!(inspected(&node, "web")["state"], "registered");
    all_layouts(&node);
    restarts_are_not_seen(&node);
    health_is_followed(&node);
    variables_and_labels(&node);
    containers_of_the_engine(&node);
    exposed_ports(&node);
    settings_are_read_again(&node);
    withdrawn_before_the_end(&node);
    a_silent_store_is_not_waited_for_long(&node);
    without_fleetd(&node);
}

fn all_layouts(node: &Node) {
    let alive = get(node, "/keelson/fleet/machines/");
    let alive = alive.iter().find(|pair| pair["lease"].is_number());
    let lease = &alive.expect("the machine has a lease")["lease"];
    let ours = get(node, SERVICES);
    assert_eq!(ours.len(), 2);
    assert!(
        ours.iter().all(|pair| pair["lease"] == *lease),
        "{ours:?} {lease}"
    );
    assert_eq!(
        ours[0]["mod_revision"], ours[1]["mod_revision"],
        "in one transaction"
    );
    let text = plain(node, SERVICES);
    for part in [
        "\"address\":\"10.9.8.7\",\"port\":8080",
        "\"unit\":\"web.service\"",
        "\"health\":\"healthy\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        text.contains("docker.io/library/busybox:saved\",\"digest\":\"sha256:"),
        "{text}"
    );
    let text = plain(node, "/skydns/local/cluster/web/");
    assert!(
        text.ends_with("{\"host\":\"10.9.8.7\",\"port\":8080}\n"),
        "{text}"
    );
    assert_eq!(
        plain(node, "/services/dns/"),
        "/services/dns/g1:web:53:udp\n10.9.8.7:53\n"
    );
}

/// Neither the store's, nor fleetd's in any way, nor launcherd's.
fn restarts_are_not_seen(node: &Node) {
    let before = get(node, WEB);
    node.run(&["systemctl", "restart", "kvd.service"]);
    node.run(&["systemctl", "restart", "fleetd.service"]);
    registered_machine(node);
    node.run(&["systemctl", "kill", "--signal=KILL", "fleetd.service"]);
    node.run(&["systemctl", "restart", "launcherd.socket"]);
    node.wait(
        &[
            "systemctl",
            "show",
            "--property=NRestarts",
            "fleetd.service",
        ],
        "=1",
    );
    registered_machine(node);
    // What it does first is to compare; then it has something to do.
    node.run(&["systemctl", "start", "api.service"]);
    wait_for_key(node, "/services/api/", "10.9.8.7:18080");
    assert_eq!(get(node, WEB), before, "not even put again");
    let watched = node.run(&["journalctl", "--unit=watch", "--output=cat"]);
    assert!(!watched.contains("DELETE"), "{watched}");
}

fn health_is_followed(node: &Node) {
    set_health(node, false);
    wait_for_none(node, WEB);
    node.wait(&["journalctl", "--unit=watch", "--output=cat"], "DELETE");
    set_health(node, true);
    wait_for_key(node, WEB, "8080");
}

fn variables_and_labels(node: &Node) {
    wait_for_key(
        node,
        "/services/api/",
        "/services/api/g1:api:80\n10.9.8.7:18080\n",
    );
    wait_for_key(node, "/services/labelled/", "10.9.8.7:18080");
    // Who is killed withdraws nothing himself, and is missed at once, long before any lease ends.
    let begun = Instant::now();
    let kill = [
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "api.service",
    ];
    node.run(&kill);
    wait_for_none(node, "/services/api/");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    node.run(&["systemctl", "reset-failed", "api.service"]);
}

/// By their names, as they are at the start.
fn containers_of_the_engine(node: &Node) {
    let registered = "--label=keelson.register=name=shop,port=80";
    let words = [
        "run",
        "--detach",
        "--name=till",
        registered,
        "--publish=18081:80",
    ];
    let words = [&words[..], &["busybox:saved", "sleep", "1000"]].concat();
    docker(node, &words);
    wait_for_key(
        node,
        "/services/shop/",
        "/services/shop/g1:till:80\n10.9.8.7:18081\n",
    );
    docker(node, &["rename", "till", "desk"]);
    docker(node, &["restart", "--time=1", "desk"]);
    wait_for_key(
        node,
        "/services/shop/",
        "/services/shop/g1:desk:80\n10.9.8.7:18081\n",
    );
    docker(node, &["rm", "--force", "desk"]);
    wait_for_none(node, "/services/shop/");
    // Registrator's labels are as good.
    let words = [
        "run",
        "--detach",
        "--name=till",
        "--label=SERVICE_NAME=till",
        "--network=host",
    ];
    docker(
        node,
        &[&words[..], &["busybox:saved", "sleep", "1000"]].concat(),
    );
    // What the image exposes.
    wait_for_key(
        node,
        "/services/till/",
        "/services/till/g1:till:7777\n10.9.8.7:7777\n",
    );
    docker(node, &["rm", "--force", "till"]);
    wait_for_none(node, "/services/till/");
}

/// At the machine's address where that is the container's, too, and at its own with `internal`.
fn exposed_ports(node: &Node) {
    let start = |options: &str| {
        let start = "systemd-run --quiet --collect --unit=bare --property=Type=notify --property=Delegate=yes --property=DelegateSubgroup=launch";
        let words = format!(
            "{start} launch run --name=bare --stop-timeout=1 --register=name=bare {options} busybox:saved sleep 1000"
        );
        node.output(&["sh", "-c", &words]).0.success()
    };
    assert!(!start("--network=bridge"), "it has no published port");
    assert!(start("--network=host"));
    wait_for_key(
        node,
        "/services/bare/",
        "/services/bare/g1:bare:7777\n10.9.8.7:7777\n",
    );
    node.run(&["systemctl", "stop", "bare.service"]);
    let internal = format!("internal = true\n{SETTINGS}");
    node.run(&[
        "sh",
        "-c",
        &format!("printf '{internal}' >/etc/keelson/registration.toml"),
    ]);
    assert!(start("--network=bridge"));
    let text = node.run(&["launch", "inspect", "bare"]);
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let address = told[0]["networks"][0]["addresses"][0]
        .as_str()
        .expect("an address");
    let expected = format!("/services/bare/g1:bare:7777\n{address}:7777\n");
    wait_for_key(node, "/services/bare/", &expected);
    node.run(&["systemctl", "stop", "bare.service"]);
    node.run(&[
        "sh",
        "-c",
        &format!("printf '{SETTINGS}' >/etc/keelson/registration.toml"),
    ]);
}

/// Without a restart, and what stays the same is not written again.
fn settings_are_read_again(node: &Node) {
    let before = get(node, WEB);
    let fleetd = node.property("fleetd.service", "MainPID");
    let settings = "layouts = [\"keelson\", \"registrator\"]\n[registrator]\nprefix = \"/other\"\n";
    let write = |text: &str| {
        let script = format!(
            "printf '{text}' >/etc/keelson/registration.toml; systemctl reload fleetd.service"
        );
        node.run(&["sh", "-c", &script]);
    };
    write(settings);
    wait_for_key(node, "/other/web/", "10.9.8.7:8080");
    wait_for_none(node, "/services/");
    wait_for_none(node, "/skydns/");
    assert_eq!(get(node, WEB), before);
    write("layouts = [\"nothing\"]\n");
    node.wait(
        &["journalctl", "--unit=fleetd", "--output=cat"],
        "the old settings stay",
    );
    wait_for_key(node, "/other/web/", "10.9.8.7:8080");
    write(SETTINGS);
    wait_for_key(node, "/services/web/", "10.9.8.7:8080");
    wait_for_none(node, "/other/");
    assert_eq!(node.property("fleetd.service", "MainPID"), fleetd);
}

fn withdrawn_before_the_end(node: &Node) {
    node.run(&["systemctl", "stop", "--no-block", "web.service"]);
    node.wait(&["ls", "/var/state"], "told");
    // The payload has its signal, and waits.
    assert_eq!(plain(node, SERVICES), "");
    assert_eq!(plain(node, "/services/"), "");
    node.run(&["touch", "/var/state/go"]);
    node.wait(
        &["systemctl", "show", "--property=ActiveState", "web.service"],
        "=inactive",
    );
    assert_eq!(node.property("web.service", "Result"), "success");
}

fn a_silent_store_is_not_waited_for_long(node: &Node) {
    node.run(&["rm", "/var/state/told"]);
    node.run(&["systemctl", "start", "web.service"]);
    status_text(node, "; registered");
    node.run(&["systemctl", "kill", "--signal=STOP", "kvd.service"]);
    let begun = Instant::now();
    node.run(&["systemctl", "stop", "--no-block", "web.service"]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        !node.run(&["ls", "/var/state"]).contains("told"),
        "the store was not waited for"
    );
    node.wait(
        &["systemctl", "show", "--property=ActiveState", "web.service"],
        "=inactive",
    );
    let journal = node.run(&["journalctl", "--unit=web", "--output=cat"]);
    assert!(journal.contains(UNHEARD), "{journal}");
    let took = begun.elapsed();
    assert!((2..10).contains(&took.as_secs()), "{took:?}");
    node.run(&["systemctl", "kill", "--signal=CONT", "kvd.service"]);
    wait_for_none(node, SERVICES);
}

fn without_fleetd(node: &Node) {
    node.run(&["systemctl", "stop", "fleetd.service"]);
    node.run(&["systemctl", "start", "web.service"]);
    status_text(node, "healthy; not registered: fleetd does not run");
    let inspected = inspected(node, "web");
    assert_eq!(inspected["state"], "announced");
    assert_eq!(inspected["problem"], "fleetd does not run");

    let last = node.property("web.service", "InvocationID");
    node.run(&["systemctl", "stop", "web.service"]);
    let entries = format!("_SYSTEMD_INVOCATION_ID={last}");
    let journal = node.run(&["journalctl", "--output=cat", &entries]);
    assert!(
        journal.contains("web is not registered: fleetd does not run"),
        "{journal}"
    );
    assert!(!journal.contains(UNHEARD), "there was nothing to withdraw");

    // One that comes later finds what is announced.
    node.run(&["systemctl", "start", "web.service"]);
    status_text(node, "not registered");
    node.run(&["systemctl", "start", "fleetd.service"]);
    wait_for_key(node, SERVICES, "8080");
    status_text(node, "; registered");
    node.run(&["systemctl", "stop", "web.service"]);
    node.assert_nothing_left();
    assert_eq!(
        node.run(&["find", "/run/keelson/announced", "-type", "f"]),
        ""
    );
    assert_eq!(
        node.run(&["find", "/run/keelson/registered", "-type", "f"]),
        ""
    );
}

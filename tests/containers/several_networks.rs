//! Containers in several networks: names in all of them, one way out, and networks joined and left while they run.

use crate::engine::{docker, docker_may_fail, engine, inspect};
use crate::fixture::{Node, SERVICE};

/// The addresses of a name in networks of the two that the tests make.
const AT: &str = "at() { nslookup $1 2>/dev/null | while read key value; do case $key$value in Address:10.[78].0.[2-9]*) echo $value;; esac; done | sort | xargs; };";
const IMAGE: &str = "busybox:saved";

fn unit(options: &str) -> String {
    format!(
        "[Service]\n{SERVICE}TimeoutStopSec=20\nExecStart=/usr/bin/launch run --stop-timeout=1 {options} {IMAGE} \
         sh -c 'mkdir /www; echo $$HOSTNAME >/www/index.html; exec busybox httpd -f -p 80 -h /www'\n"
    )
}

fn create_networks(node: &Node) {
    for (name, subnet) in [("front", "10.7.0.0/24"), ("back", "10.8.0.0/24")] {
        node.run(&["launch", "network", "create", "--subnet", subnet, name]);
    }
}

/// What a shell in a container of these networks says.
fn says(node: &Node, networks: &[&str], script: &str) -> String {
    let words = ["sh", "-c", &format!("{AT} {script}")];
    let (code, output, errors) = node.launch_with(networks, IMAGE, &words);
    assert_eq!(
        code,
        Some(0),
        "{script}: {output}{errors}\n{}",
        node.journal()
    );
    output
}

fn exec(node: &Node, name: &str, script: &str) -> String {
    node.run(&[
        "launch",
        "exec",
        name,
        "sh",
        "-c",
        &format!("{AT} {script}"),
    ])
}

/// No interface, rule or resolver of any container is left.
fn assert_no_network(node: &Node) {
    node.wait(
        &[
            "sh",
            "-c",
            "echo \"[$(ls /sys/class/net | grep -c '^k[bvt]-')]\"",
        ],
        "[0]",
    );
    assert_eq!(node.run(&["nft", "list", "tables"]), "");
    node.wait(
        &["sh", "-c", "cat /proc/[0-9]*/comm | grep -c aardvark"],
        "0",
    );
    let folders = "cd /run/keelson/networks; ls containers netavark/firewall/ports netavark/aardvark-dns | grep -c '[a-z0-9]$'";
    assert_eq!(node.output(&["sh", "-c", folders]).1, "0\n");
}

#[test]
fn names_are_found_in_all_networks_and_the_first_leads_out() {
    let both = "--network=front --network=back:ip=10.8.0.9,alias=www --publish=8080:80";
    let quadlet = "[Container]\nImage=busybox:saved\nNetwork=back\nNetwork=front:alias=asset\nExec=sleep 1000\n";
    let files = [
        ("/etc/systemd/system/both.service", unit(both)),
        ("/etc/systemd/system/back.service", unit("--network=back")),
        ("/etc/containers/systemd/quad.container", quadlet.to_owned()),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();
    let node = Node::with_image("n5", &files);
    create_networks(&node);
    // One after the other: the lowest free address is given.
    for unit in ["both.service", "back.service", "quad.service"] {
        node.run(&["systemctl", "start", unit]);
    }
    let front = says(
        &node,
        &["--network=front"],
        "at both; at www; at asset; at back",
    );
    assert_eq!(
        front, "10.7.0.2\n\n10.7.0.3\n\n",
        "each network has its own names"
    );
    let back = says(
        &node,
        &["--network=back"],
        "at both; at www; wget -q -O - http://$(at www)/",
    );
    assert_eq!(back, "10.8.0.9\n10.8.0.9\nboth\n");
    // Whoever is in both finds those of both, with their addresses in both.
    let all = says(
        &node,
        &["--network=front", "--network=back"],
        "at both; at back; ip route | grep -c default; ip route get 192.0.2.1 | grep -o 'via [0-9.]*'; grep -c nameserver /etc/resolv.conf; grep -c -E '10.[78].0' /etc/hosts",
    );
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines[0], "10.7.0.2 10.8.0.9");
    assert!(lines[1].starts_with("10.8.0."), "{all}");
    assert_eq!(&lines[2..], ["2", "via 10.7.0.1", "2", "2"]);
    assert_eq!(
        node.run(&["curl", "-s", "-m", "5", "http://127.0.0.1:8080/"]),
        "both\n"
    );

    let told: serde_json::Value =
        serde_json::from_str(&node.run(&["launch", "inspect", "both"])).expect("JSON");
    let networks = &told[0]["networks"];
    assert_eq!(networks[0]["name"], "front");
    assert_eq!(networks[0]["ports"][0], "8080/tcp");
    assert_eq!(networks[1]["addresses"][0], "10.8.0.9");
    assert_eq!(networks[1]["interface"], "eth1");
    mistakes(&node);

    // Whoever is killed leaves nothing in either network once somebody else starts.
    node.run(&[
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "both.service",
    ]);
    node.run(&["systemctl", "stop", "back.service", "quad.service"]);
    says(&node, &["--network=none"], "true");
    assert_no_network(&node);
    node.assert_nothing_left();
}

fn mistakes(node: &Node) {
    let names = node.run(&["launch", "network", "ls", "-q"]);
    assert_eq!(names, "back\nfront\n");
    for (networks, reason) in [
        (["--network=host", "--network=front"], "alone"),
        (["--network=front", "--network=front"], "said twice"),
        (
            ["--network=front", "--network=nowhere"],
            "there is no network nowhere",
        ),
        (
            ["--network=front", "--network=back:ip=10.8.0.9"],
            "belongs to another container",
        ),
        (
            ["--network=front:ip=10.7.0.7", "--ip=10.7.0.8"],
            "say it once",
        ),
    ] {
        let (code, _, errors) = node.launch_with(&networks, IMAGE, &["true"]);
        assert_eq!(code, Some(125), "{networks:?}");
        assert!(errors.contains(reason), "{networks:?}: {errors}");
    }
}

#[test]
fn the_engine_connects_and_disconnects() {
    let node = engine("n6");
    create_networks(&node);
    let run = [
        "run",
        "--detach",
        "--name=db",
        "--network=back",
        IMAGE,
        "sleep",
        "1000",
    ];
    docker(&node, &run);
    let two = [
        "run",
        "--detach",
        "--name=web",
        "--network=name=front,alias=www",
        "--network=back",
        "--publish=8080:80",
        IMAGE,
        "sleep",
        "1000",
    ];
    docker(&node, &two);
    let id = docker(&node, &["inspect", "--format={{.Id}}", "web"]);
    let at = |name: &str| exec(&node, id.trim(), &format!("at {name}"));
    assert_eq!(at("db"), "10.8.0.2\n");
    assert_eq!(
        inspect(&node, "web", ".NetworkSettings.Networks.front.IPAddress"),
        "10.7.0.2"
    );
    assert_eq!(
        inspect(&node, "web", ".NetworkSettings.Networks.back.IPAddress"),
        "10.8.0.3"
    );
    let ports = "(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort";
    assert_eq!(inspect(&node, "web", ports), "8080");

    joined_and_left(&node, &at);
    refused(&node);

    // What is changed while it is stopped holds from the next start on.
    docker(&node, &["stop", "--time=1", "late"]);
    docker(&node, &["network", "connect", "front", "late"]);
    docker(&node, &["network", "disconnect", "bridge", "late"]);
    docker(&node, &["start", "late"]);
    assert_eq!(at("late"), "10.7.0.3\n");
    assert_eq!(
        inspect(&node, "late", ".NetworkSettings.Networks.front.IPAddress"),
        "10.7.0.3"
    );
    for name in ["late", "web", "db"] {
        docker(&node, &["rm", "--force", name]);
    }
    assert_no_network(&node);
    node.assert_nothing_left();
}

/// One that runs without names is found by them, and finds others, as long as it is in a network that has them.
fn joined_and_left(node: &Node, at: &dyn Fn(&str) -> String) {
    docker(
        node,
        &["run", "--detach", "--name=late", IMAGE, "sleep", "1000"],
    );
    docker(
        node,
        &[
            "network",
            "connect",
            "--alias=later",
            "--ip=10.8.0.77",
            "back",
            "late",
        ],
    );
    assert_eq!(at("late"), "10.8.0.77\n");
    assert_eq!(at("later"), "10.8.0.77\n");
    let late = docker(node, &["inspect", "--format={{.Id}}", "late"]);
    assert_eq!(exec(node, late.trim(), "at db"), "10.8.0.2\n");
    assert_eq!(inspect(node, "late", "len .NetworkSettings.Networks"), "2");
    docker(node, &["network", "disconnect", "back", "late"]);
    assert_eq!(at("late"), "\n");
    let interfaces = exec(node, late.trim(), "ls /sys/class/net");
    assert!(!interfaces.contains("eth1"), "{interfaces}");
}

fn refused(node: &Node) {
    for (words, reason) in [
        (["connect", "front", "web"], "already in the network front"),
        (
            ["disconnect", "front", "web"],
            "publishes its ports by the network front",
        ),
        (["disconnect", "back", "db"], "is the only network"),
        (
            ["disconnect", "front", "db"],
            "is not connected to network front",
        ),
        (
            ["connect", "host", "db"],
            "is chosen when a container is made",
        ),
        (["connect", "nowhere", "db"], "network nowhere not found"),
    ] {
        let (code, _, errors) = docker_may_fail(node, &[&["network"][..], &words].concat());
        assert_eq!(code, Some(1), "{words:?}");
        assert!(errors.contains(reason), "{words:?}: {errors}");
    }
}

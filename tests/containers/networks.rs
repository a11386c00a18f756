//! Networks of containers: names, addresses, published ports, and what is left of them.
//!
//! The bridge, the firewall's rules and the names are the real ones, by netavark and aardvark-dns, in the machine's own
//! network namespace.

use crate::fixture::{Node, SERVICE};

/// A container that answers at port 80 with its own name.
const SERVER: &str =
    "sh -c 'mkdir /www; hostname >/www/index.html; exec busybox httpd -f -p 80 -h /www'";

/// The address that a name has in the first network that was made. (Debian's busybox has `nslookup` for names; its `wget`
/// has the static libc's way, which ends in a fault.)
const AT: &str = "at() { nslookup $1 | while read key value; do case $key$value in Address:10.89.0.[2-9]*) echo $value;; esac; done; };";

fn unit(options: &str, words: &str) -> String {
    format!(
        "[Service]\n{SERVICE}TimeoutStopSec=20\nExecStart=/usr/bin/launch run --stop-timeout=1 {options} busybox:saved {words}\n\
         ExecStopPost=-/usr/bin/launch clean %N\n"
    )
}

fn file(name: &str) -> String {
    format!("/etc/systemd/system/{name}.service")
}

/// A shell in a container: code, output and errors.
fn run(node: &Node, options: &[&str], script: &str) -> (Option<i32>, String, String) {
    node.launch_with(options, "busybox:saved", &["sh", "-c", script])
}

/// What a shell in a container says, which succeeds.
fn says(node: &Node, options: &[&str], script: &str) -> String {
    let (code, output, errors) = run(node, options, script);
    assert_eq!(
        code,
        Some(0),
        "{script}: {output}{errors}\n{}",
        node.journal()
    );
    output
}

/// Nothing is left of any container in a network.
fn assert_no_network(node: &Node) {
    let interfaces = node.run(&["ls", "/sys/class/net"]);
    let ours = |name: &&str| {
        ["kb-", "kv-", "kt-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    assert_eq!(
        interfaces.split_whitespace().find(ours),
        None,
        "{interfaces}"
    );
    assert_eq!(node.run(&["nft", "list", "tables"]), "");
    // The resolver ends by itself, a moment after it was told.
    node.wait(
        &["sh", "-c", "cat /proc/[0-9]*/comm | grep -c aardvark"],
        "0",
    );
    let folders = "cd /run/keelson/networks; ls containers netavark/firewall/ports netavark/aardvark-dns | grep -c '[a-z0-9]$'";
    assert_eq!(node.output(&["sh", "-c", folders]).1, "0\n");
}

#[test]
fn containers_of_a_network_find_each_other_by_name() {
    let server = unit("--network=front --network-alias=www", SERVER);
    let node = Node::with_image("n1", &[(&file("web"), &server)]);
    assert_eq!(
        node.run(&["launch", "network", "create", "--ipv6", "front"]),
        "front\n"
    );
    node.run(&["systemctl", "start", "web.service"]);
    let script = format!(
        "{AT} wget -q -O - http://$(at web)/; wget -q -O - http://$(at www)/; nslookup web | grep -c fd"
    );
    assert_eq!(says(&node, &["--network=front"], &script), "web\nweb\n1\n");
    let own = says(
        &node,
        &[
            "--network=front",
            "--name=own",
            "--ip=10.89.0.77",
            "--mac-address=02:00:00:00:00:07",
            "--add-host=up:host-gateway",
        ],
        "grep -E 'own|up' /etc/hosts; cat /sys/class/net/eth0/address; ip -4 -o addr show eth0 | grep -c 10.89.0.77/24; grep -c nameserver /etc/resolv.conf",
    );
    let (v4, rest) = own.split_once('\n').expect("lines");
    assert_eq!(v4, "10.89.0.77\town");
    assert!(
        rest.starts_with("fd") && rest.ends_with("10.89.0.1\tup\n02:00:00:00:00:07\n1\n2\n"),
        "{rest}"
    );

    // Whoever is in another network does not find it, and does not reach it.
    let address = node.run(&["launch", "network", "inspect", "--json", "front"]);
    let shown: serde_json::Value = serde_json::from_str(&address).expect("JSON");
    let address = shown[0]["containers"][0]["addresses"][0]
        .as_str()
        .expect("an address");
    assert_eq!(shown[0]["containers"][0]["unit"], "web");
    // With the machine's curl: busybox has none that tells a refusal from a fault of its own.
    let script = format!("/usr/bin/curl -s -m 2 http://{address}/ || echo $?");
    let machine = "--volume=/usr:/usr:ro";
    assert_eq!(says(&node, &["--network=front", machine], &script), "web\n");
    assert_eq!(
        says(&node, &[machine], &script),
        "28\n",
        "nothing comes back"
    );
    assert_eq!(
        says(&node, &[], "nslookup web >/dev/null 2>&1 || echo none"),
        "none\n"
    );

    let (code, _, errors) = run(&node, &["--network=nowhere"], "true");
    assert_eq!(code, Some(125));
    assert!(errors.contains("there is no network nowhere"), "{errors}");
    let (status, _, errors) = node.output(&["launch", "network", "rm", "front"]);
    assert!(!status.success());
    assert!(
        errors.contains("the network front is used by web"),
        "{errors}"
    );
    node.run(&["systemctl", "stop", "web.service"]);
    assert_no_network(&node);
    node.run(&["launch", "network", "rm", "front"]);
    assert_eq!(
        node.run(&["launch", "network", "prune"]),
        "",
        "the default one stays"
    );
    node.assert_nothing_left();
}

#[test]
fn published_ports_lead_to_their_container() {
    let server = unit(
        "--publish=8080:80 --publish=127.0.0.1:9000-9001:80-81",
        SERVER,
    );
    let node = Node::with_image("n2", &[(&file("web"), &server)]);
    // A peer, with an interface in a namespace of its own.
    node.run(&["sh", "-c", "ip netns add peer; ip link add outer type veth peer name eth0 netns peer; ip addr add 192.0.2.1/24 dev outer; ip link set outer up; ip -n peer addr add 192.0.2.2/24 dev eth0; ip -n peer link set eth0 up"]);
    node.run(&["systemctl", "start", "web.service"]);
    for address in ["127.0.0.1:8080", "192.0.2.1:8080", "127.0.0.1:9000"] {
        assert_eq!(
            node.run(&["curl", "-s", "-m", "5", &format!("http://{address}/")]),
            "web\n"
        );
    }
    let peer = |url: &str| {
        let (_, output, _) =
            node.output(&["ip", "netns", "exec", "peer", "curl", "-s", "-m", "2", url]);
        output
    };
    assert_eq!(peer("http://192.0.2.1:8080/"), "web\n");
    assert_eq!(
        peer("http://192.0.2.1:9000/"),
        "",
        "at the loopback address only"
    );
    assert_eq!(
        says(&node, &[], "wget -q -O - http://192.0.2.1:8080/"),
        "web\n",
        "from the same network"
    );

    let (code, _, errors) = run(&node, &["--publish=8080:1"], "true");
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("the port 8080/tcp is in use by the container web"),
        "{errors}"
    );
    assert_eq!(errors.trim().lines().count(), 1, "{errors}");
    node.run(&[
        "systemd-run",
        "--quiet",
        "--unit=other",
        "--collect",
        "systemd-socket-activate",
        "--listen=7000",
        "cat",
    ]);
    node.wait(&["sh", "-c", "grep -c ':1B58 ' /proc/net/tcp6"], "1");
    let (code, _, errors) = run(&node, &["--publish=7000:1"], "true");
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("the port 7000/tcp is in use by systemd-socket- (process "),
        "{errors}"
    );
    node.run(&["systemctl", "stop", "other.service"]);
    // While it is published, nobody else gets it.
    let (status, _, _) =
        node.output(&["systemd-socket-activate", "--listen=127.0.0.1:8080", "cat"]);
    assert!(!status.success());

    node.run(&["systemctl", "stop", "web.service"]);
    assert_eq!(peer("http://192.0.2.1:8080/"), "");
    assert_no_network(&node);
}

#[test]
fn whoever_is_killed_leaves_nothing_behind() {
    let restarted = unit("--network=front --publish=8080:80", SERVER)
        .replace("[Service]\n", "[Service]\nRestart=always\nRestartSec=0\n");
    // Nobody calls the launcher after this one.
    let alone = unit("--network=front --publish=8081:80", SERVER);
    let alone = alone.replace("ExecStopPost=-/usr/bin/launch clean %N\n", "");
    let node = Node::with_image(
        "n3",
        &[(&file("web"), &restarted), (&file("alone"), &alone)],
    );
    node.run(&["launch", "network", "create", "front"]);
    node.run(&["systemctl", "start", "web.service", "alone.service"]);
    let main = node.property("web.service", "MainPID");
    node.run(&["kill", "-9", &main]);
    node.wait(
        &["systemctl", "show", "--property=NRestarts", "web.service"],
        "=1",
    );
    node.wait(
        &["systemctl", "show", "--property=ActiveState", "web.service"],
        "=active",
    );
    node.wait(&["curl", "-s", "-m", "5", "http://127.0.0.1:8080/"], "web");
    // The resolver is nobody's child: whoever comes next starts another.
    node.run(&[
        "sh",
        "-c",
        "kill -9 $(cat /run/keelson/networks/netavark/aardvark-dns/aardvark.pid)",
    ]);
    let script = format!("{AT} wget -q -O - http://$(at web)/; wget -q -O - http://$(at alone)/");
    assert_eq!(says(&node, &["--network=front"], &script), "web\nalone\n");

    node.run(&[
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "alone.service",
    ]);
    node.run(&[
        "sh",
        "-c",
        "systemctl stop alone.service; systemctl reset-failed alone.service",
    ]);
    node.run(&["systemctl", "stop", "web.service"]);
    let left = node.run(&["ls", "/run/keelson/networks/containers"]);
    assert_eq!(left, "alone.json\n");
    // A launcher that was killed before netavark was called left no more than the file.
    node.run(&["sh", "-c", "cd /run/keelson/networks/containers; sed 's/\"alone\"/\"early\"/; s/8081/8082/' alone.json >early.json"]);
    says(&node, &["--network=none"], "true");
    assert_no_network(&node);
    assert_eq!(
        says(
            &node,
            &["--network=front", "--publish=8081:80"],
            "echo again"
        ),
        "again\n"
    );
    assert_no_network(&node);
    node.assert_nothing_left();
}

#[test]
fn files_and_quadlet_say_what_networks_there_are() {
    let network =
        "internal = true\n[[subnet]]\nnetwork = \"10.1.2.0/24\"\ngateway = \"10.1.2.254\"\n";
    let web = "[Container]\nImage=busybox:saved\nNetwork=back.network\nPublishPort=8080:80\nVolume=data.volume:/www\nExec=sh -c 'hostname >/www/index.html; exec busybox httpd -f -p 80 -h /www'\n[Service]\nTimeoutStopSec=20\n";
    let node = Node::with_image(
        "n4",
        &[
            ("/etc/keelson/networks/inner.toml", network),
            (
                "/etc/containers/systemd/back.network",
                "[Network]\nSubnet=10.7.0.0/24\nLabel=owner=web\n",
            ),
            (
                "/etc/containers/systemd/data.volume",
                "[Volume]\nVolumeName=site\n",
            ),
            ("/etc/containers/systemd/web.container", web),
        ],
    );
    node.run(&["systemctl", "start", "web.service"]);
    assert_eq!(
        node.run(&["curl", "-s", "-m", "5", "http://127.0.0.1:8080/"]),
        "web\n"
    );
    assert_eq!(
        node.property("back-network.service", "ActiveState"),
        "active"
    );
    assert_eq!(
        node.run(&["cat", "/var/lib/keelson/volumes/site/index.html"]),
        "web\n"
    );
    let expected =
        "NAME    SUBNETS       CONTAINERS\nback    10.7.0.0/24   1\ninner   10.1.2.0/24   0\n";
    assert_eq!(node.run(&["launch", "network", "ls"]), expected);
    let script = "ip -4 route | grep -c default; ip -4 -o addr show eth0 | grep -o 10.1.2.1/24";
    assert_eq!(
        run(&node, &["--network=inner"], script).1,
        "0\n10.1.2.1/24\n"
    );
    for (words, reason) in [
        (["rm", "inner"].as_slice(), "remove that file instead"),
        (["rm", "bridge"].as_slice(), "stays"),
        (["create", "host"].as_slice(), "a meaning of its own"),
        (
            ["create", "back"].as_slice(),
            "there is a network back already",
        ),
        (
            ["create", "--subnet=10.7.0.128/25", "other"].as_slice(),
            "overlaps 10.7.0.0/24, which the network back has",
        ),
        (
            [
                "create",
                "--subnet=10.8.0.0/24",
                "--gateway=10.9.0.1",
                "other",
            ]
            .as_slice(),
            "is in no --subnet",
        ),
    ] {
        let (status, _, errors) = node.output(&[&["launch", "network"], words].concat());
        assert_eq!(status.code(), Some(125), "{words:?}");
        assert!(errors.contains(reason), "{words:?}: {errors}");
    }
    node.run(&["systemctl", "stop", "web.service"]);
    assert_no_network(&node);
}

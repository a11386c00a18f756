//! Containers with users of their own: numbers that nobody else has, and folders whose owners the kernel maps.

use crate::fixture::{Node, SERVICE};

const USERS: &str = "/run/keelson/launch-users";
const VOLUMES: &str = "/var/lib/keelson/volumes";

fn unit(words: &str) -> String {
    format!(
        "[Service]\n{SERVICE}TimeoutStopSec=20\nExecStart=/usr/bin/launch run --userns=auto --stop-timeout=1 {words}\n"
    )
}

/// The numbers of a range, as the kernel has them of a container that runs.
fn first(node: &Node, name: &str) -> u32 {
    let map = node.run(&["launch", "exec", name, "cat", "/proc/self/uid_map"]);
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("0", "65536"), "{map}");
    words[1].parse().expect("a number")
}

#[test]
fn users_are_the_containers_own() {
    let server = "sh -c 'echo told >/tmp/index.html; touch /srv/new; chown 33:34 /srv/new; exec busybox httpd -f -p 80 -h /tmp'";
    let web = unit(&format!(
        "--publish=8080:80 --volume=data:/srv busybox:saved {server}"
    ));
    let other = unit("--network=none busybox:saved sleep 1000");
    let quadlet = "[Container]\nImage=busybox:saved\nUserNS=auto\nNetwork=none\nExec=sleep 1000\n";
    let files = [
        ("/etc/systemd/system/web.service", web.as_str()),
        ("/etc/systemd/system/other.service", other.as_str()),
        ("/etc/containers/systemd/quad.container", quadlet),
    ];
    let node = Node::with_image("u1", &files);
    // The machine's own root is an overlay here, whose owners the kernel does not map.
    node.run(&["mkdir", "-p", VOLUMES]);
    node.run(&["mount", "-t", "tmpfs", "volumes", VOLUMES]);
    node.run(&[
        "systemctl",
        "start",
        "web.service",
        "other.service",
        "quad.service",
    ]);
    let mut ranges = ["web", "other", "quad"].map(|name| first(&node, name));
    ranges.sort_unstable();
    assert_eq!(ranges.map(|first| first - 524_288), [0, 65536, 131_072]);

    // Its root is nobody on the machine, and its own in what it sees.
    let web = first(&node, "web");
    let pid = node.run(&["cat", "/run/keelson/launch/web/pid"]);
    let owner = node.run(&["stat", "--format=%u", &format!("/proc/{}", pid.trim())]);
    assert_eq!(owner.trim(), web.to_string());
    let seen = "stat -c %u:%g / /etc/passwd /etc/hosts /srv /srv/new /tmp/index.html | xargs";
    let seen = node.run(&["launch", "exec", "web", "sh", "-c", seen]);
    assert_eq!(seen, "0:0 0:0 0:0 0:0 33:34 0:0\n");
    assert_eq!(
        node.run(&["stat", "--format=%u:%g", &format!("{VOLUMES}/data/new")]),
        "33:34\n"
    );
    let ask = ["curl", "-s", "-m", "5", "http://127.0.0.1:8080/"];
    assert_eq!(node.run(&ask), "told\n", "a low port is its own");

    // The volume's next user has another range, and the same owners.
    node.run(&["systemctl", "stop", "web.service"]);
    let shown = node.shell(
        &["--userns=auto", "--volume=data:/srv", "--user=33:34"],
        "stat -c %u:%g /srv/new; echo more >/srv/new; id -u; id -g",
    );
    assert_eq!(shown, "33:34\n33\n34\n");
    assert_eq!(
        node.shell(&["--volume=data:/srv"], "cat /srv/new"),
        "more\n"
    );

    killed(&node);
    refused(&node);
    node.run(&["systemctl", "stop", "quad.service"]);
    assert_eq!(node.run(&["ls", USERS]), "");
    node.assert_nothing_left();
}

/// What a container that was killed had, the next one has.
fn killed(node: &Node) {
    let before = first(node, "other");
    node.run(&[
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "other.service",
    ]);
    node.wait(
        &[
            "systemctl",
            "show",
            "--property=ActiveState",
            "other.service",
        ],
        "=failed",
    );
    assert!(
        node.run(&["ls", USERS]).contains("other"),
        "nobody has looked yet"
    );
    node.run(&["systemctl", "reset-failed", "other.service"]);
    let map = node.shell(&["--userns=auto"], "cat /proc/self/uid_map");
    let again: Option<u32> = map
        .split_whitespace()
        .nth(1)
        .and_then(|first| first.parse().ok());
    assert!(again.is_some_and(|first| first <= before), "{map}");
    assert_eq!(node.run(&["ls", USERS]), "quad\n");
}

fn refused(node: &Node) {
    for (option, reason) in [
        ("--userns=keep-id", "no number to keep"),
        ("--privileged", "--privileged and --userns=auto"),
        ("--user=70000", "is not among the 65536"),
    ] {
        let options: &[&str] = match option {
            "--userns=keep-id" => &[option],
            _ => &["--userns=auto", option],
        };
        let (code, _, errors) = node.launch(options, "busybox:saved", &["true"]);
        assert_eq!(code, Some(125), "{option}");
        assert!(errors.contains(reason), "{option}: {errors}");
    }
}

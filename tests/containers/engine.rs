//! The Docker Engine API on a machine: Debian's docker client asks, and containers are units.
//!
//! The client is the host's, seen in the machine; what it prints is what people see.

use std::path::{Path, PathBuf};

use keelson_qemu::Bind;

use crate::fixture::Node;

/// Where the machine sees the client.
pub(crate) const CLIENT: &str = "/opt/docker";

/// The host's client, wherever it is; none where a test does not need it.
pub(crate) fn client() -> Option<Bind> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("docker"))
        .find(|path| path.is_file())?;
    Some(Bind {
        source: resolved(&found),
        target: CLIENT.into(),
    })
}

fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A machine whose engine has the image `busybox:saved`, brought by the client.
pub(crate) fn engine(name: &str) -> Node {
    let node = Node::boot(name, &[]);
    assert!(
        client().is_some(),
        "docker's client is installed: see .ci/setup"
    );
    let loaded = docker(&node, &["load", "--input", "/opt/archives/saved.tar"]);
    assert_eq!(loaded, "Loaded image: busybox:saved\n");
    node
}

pub(crate) fn docker(node: &Node, words: &[&str]) -> String {
    let words: Vec<&str> = std::iter::once(CLIENT)
        .chain(words.iter().copied())
        .collect();
    node.run(&words)
}

/// Exit code, output and errors.
pub(crate) fn docker_may_fail(node: &Node, words: &[&str]) -> (Option<i32>, String, String) {
    let words: Vec<&str> = std::iter::once(CLIENT)
        .chain(words.iter().copied())
        .collect();
    let (status, output, errors) = node.output(&words);
    (status.code(), output, errors)
}

/// A container that writes to both streams and ends in order at SIGTERM.
const STEADY: &str = "trap \"exit 3\" TERM; echo out; echo err >&2; while :; do sleep 0.1; done";

fn start_steady(node: &Node, name: &str, options: &[&str]) -> String {
    let mut words = vec!["create", "--name", name, "--network=none"];
    words.extend(options);
    words.extend(["busybox:saved", "sh", "-c", STEADY]);
    let id = docker(node, &words).trim().to_owned();
    assert_eq!(docker(node, &["start", name]), format!("{name}\n"));
    id
}

pub(crate) fn inspect(node: &Node, name: &str, what: &str) -> String {
    let format = format!("--format={{{{{what}}}}}");
    docker(node, &["inspect", &format, name]).trim().to_owned()
}

#[test]
fn the_engine_is_there_when_it_is_asked() {
    let node = Node::boot("e1", &[]);
    // Nobody asked.
    assert_eq!(
        node.property("launcherd.service", "ActiveState"),
        "inactive"
    );
    assert_eq!(node.property("launcherd.socket", "ActiveState"), "active");
    let version = docker(
        &node,
        &["version", "--format={{.Server.APIVersion}} {{.Server.Os}}"],
    );
    assert_eq!(version, "1.47 linux\n");
    assert_eq!(node.property("launcherd.service", "ActiveState"), "active");
    assert_eq!(node.property("launcherd.service", "StatusText"), "Running");
    // The link that docker uses by itself, and the socket's own name.
    assert_eq!(
        node.run(&["readlink", "/run/docker.sock"]),
        "/run/launcher.sock\n"
    );
    assert_eq!(
        node.run(&["stat", "--format=%a %U:%G", "/run/launcher.sock"]),
        "660 root:root\n"
    );
    let own = [
        "-H",
        "unix:///run/launcher.sock",
        "info",
        "--format={{.Driver}} {{.CgroupDriver}}",
    ];
    assert_eq!(docker(&node, &own), "overlayfs systemd\n");
    let old = [
        "sh",
        "-c",
        "DOCKER_API_VERSION=1.24 /opt/docker ps 2>&1 || true",
    ];
    assert!(node.run(&old).contains("too old"), "{}", node.run(&old));
    let (code, _, errors) = docker_may_fail(&node, &["swarm", "init"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("launcherd does not support swarm"),
        "{errors}"
    );
}

#[test]
fn containers_live_from_create_to_rm() {
    let node = engine("e2");
    let id = start_steady(&node, "web", &["--label=a=b", "--env=A=1"]);
    let unit = format!("launch-{id}.service");
    assert_eq!(node.property(&unit, "ActiveState"), "active");
    assert_eq!(
        node.property(&unit, "Description"),
        "Container web (busybox:saved)"
    );
    assert_eq!(inspect(&node, "web", ".State.Status"), "running");
    let pid = inspect(&node, "web", ".State.Pid");
    let group = node.run(&["cat", &format!("/proc/{pid}/cgroup")]);
    assert!(group.contains(&format!("/{unit}/payload")), "{group}");
    let list = docker(
        &node,
        &[
            "ps",
            "--format={{.Names}} {{.Image}} {{.State}}",
            "--filter=label=a=b",
        ],
    );
    assert_eq!(list, "web busybox:saved running\n");
    let (code, _, errors) = docker_may_fail(&node, &["rm", "web"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("stop the container before removing"),
        "{errors}"
    );

    docker(&node, &["stop", "web"]);
    assert_eq!(inspect(&node, "web", ".State.Status"), "exited");
    assert_eq!(inspect(&node, "web", ".State.ExitCode"), "3");
    assert_eq!(docker(&node, &["ps", "--quiet"]), "");
    docker(&node, &["rename", "web", "site"]);
    docker(&node, &["start", "site"]);
    assert_eq!(
        node.property(&unit, "Description"),
        "Container site (busybox:saved)"
    );
    docker(&node, &["kill", "site"]);
    assert_eq!(docker(&node, &["wait", "site"]), "137\n");
    assert_eq!(docker(&node, &["rm", "site"]), "site\n");
    assert_eq!(docker(&node, &["ps", "--all", "--quiet"]), "");
    assert_eq!(node.property(&unit, "LoadState"), "not-found");
    node.assert_nothing_left();
}

#[test]
fn a_container_keeps_its_files_until_it_is_removed() {
    let node = engine("e3");
    let script = "cat /kept 2>/dev/null; echo once >>/kept";
    let words = [
        "create",
        "--name=files",
        "--network=none",
        "busybox:saved",
        "sh",
        "-c",
        script,
    ];
    docker(&node, &words);
    assert_eq!(inspect(&node, "files", ".State.Status"), "created");
    for runs in 1..=3 {
        docker(&node, &["start", "files"]);
        assert_eq!(docker(&node, &["wait", "files"]), "0\n");
        let lines = docker(&node, &["logs", "files"]);
        // Each run prints what those before wrote.
        assert_eq!(lines.lines().count(), runs * (runs - 1) / 2, "{lines}");
    }
    let (code, _, errors) = docker_may_fail(&node, &["rmi", "busybox:saved"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("uses it"), "{errors}");
    docker(&node, &["rm", "files"]);
    docker(&node, &["rmi", "busybox:saved"]);
    assert_eq!(docker(&node, &["images", "--quiet"]), "");
}

#[test]
fn docker_run_prints_what_a_container_writes() {
    let node = engine("e9");
    let options = [
        "-H",
        "unix:///run/launcher.sock",
        "run",
        "--rm",
        "--network=none",
    ];
    let run = |words: &[&str]| {
        let all: Vec<&str> = options
            .iter()
            .chain(&["busybox:saved"])
            .chain(words)
            .copied()
            .collect();
        docker_may_fail(&node, &all)
    };
    let (code, output, errors) = run(&["echo", "hi"]);
    assert_eq!(
        (code, output.as_str(), errors.as_str()),
        (Some(0), "hi\n", "")
    );
    let (code, output, errors) = run(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(
        (code, output.as_str(), errors.as_str()),
        (Some(7), "out\n", "err\n")
    );
    let (code, _, errors) = run(&["nope"]);
    assert_eq!(code, Some(127), "{errors}");
    node.wait(
        &["sh", "-c", "echo \"[$(/opt/docker ps -aq | wc -l)]\""],
        "[0]",
    );
}

#[test]
fn logs_are_the_journals() {
    let node = engine("e4");
    start_steady(&node, "web", &[]);
    let logs = [
        "sh",
        "-c",
        "/opt/docker logs web 2>/dev/null; echo +; /opt/docker logs web 2>&1 >/dev/null",
    ];
    node.wait(&logs, "out\n+\nerr\n");
    let follow = [
        "sh",
        "-c",
        "(sleep 1; /opt/docker stop web >/dev/null) & /opt/docker logs --follow --tail=1 web 2>&1",
    ];
    assert_eq!(node.run(&follow), "err\n");
    let times = docker(&node, &["logs", "--timestamps", "--tail=1", "web"]);
    assert!(times.is_empty() || times.starts_with("20"), "{times}");
    assert_eq!(
        docker(&node, &["logs", "--since=2100-01-01T00:00:00Z", "web"]),
        ""
    );
}

#[test]
fn containers_need_no_engine() {
    let node = engine("e5");
    let id = start_steady(&node, "web", &["--restart=unless-stopped"]);
    let other = start_steady(&node, "once", &[]);
    let pid = inspect(&node, "web", ".State.Pid");
    node.run(&["systemctl", "kill", "--signal=KILL", "launcherd.service"]);
    node.wait(
        &[CLIENT, "ps", "--format={{.Names}}", "--filter=name=web"],
        "web\n",
    );
    assert_eq!(inspect(&node, "web", ".State.Pid"), pid);
    node.run(&["systemctl", "stop", "launcherd.service"]);
    node.run(&["kill", "-0", &pid]);
    // It restarts although no engine runs: the payload's shell does not expect this signal.
    node.run(&["kill", "-KILL", &pid]);
    node.wait(
        &[
            "systemctl",
            "show",
            "--property=NRestarts",
            &format!("launch-{id}.service"),
        ],
        "NRestarts=1",
    );
    node.wait(
        &[CLIENT, "ps", "--format={{.State}}", "--filter=name=web"],
        "running",
    );
    assert_eq!(inspect(&node, "web", ".RestartCount"), "1");
    assert_eq!(inspect(&node, "once", ".Id"), other);
}

#[test]
fn what_cannot_be_started_is_told() {
    let node = engine("e6");
    let (code, _, errors) = docker_may_fail(
        &node,
        &["run", "--network=none", "--detach", "busybox:saved", "nope"],
    );
    assert_eq!(code, Some(127), "{errors}");
    assert!(errors.contains("executable file not found"), "{errors}");
    let (code, _, errors) = docker_may_fail(
        &node,
        &[
            "run",
            "--network=none",
            "--detach",
            "busybox:saved",
            "/etc/passwd",
        ],
    );
    assert_eq!(code, Some(126), "{errors}");
    let (code, _, errors) = docker_may_fail(&node, &["create", "--pid=host", "busybox:saved"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("HostConfig.PidMode"), "{errors}");
    let (_, _, errors) = docker_may_fail(&node, &["inspect", "nothing"]);
    assert!(errors.contains("No such object: nothing"), "{errors}");
    let two = ["create", "--name=one", "busybox:saved"];
    docker(&node, &two);
    let (_, _, errors) = docker_may_fail(&node, &two);
    assert!(
        errors.contains("is already in use by container"),
        "{errors}"
    );
}

#[test]
fn what_happens_is_told_and_what_is_over_is_pruned() {
    let node = engine("e7");
    docker(&node, &["tag", "busybox:saved", "mine:1"]);
    let images = docker(&node, &["images", "--format={{.Repository}}:{{.Tag}}"]);
    let mut images: Vec<&str> = images.lines().collect();
    images.sort_unstable();
    assert_eq!(images, ["busybox:saved", "mine:1"]);
    docker(
        &node,
        &[
            "create",
            "--name=one",
            "--network=none",
            "mine:1",
            "sh",
            "-c",
            "exit 4",
        ],
    );
    docker(&node, &["start", "one"]);
    assert_eq!(docker(&node, &["wait", "one"]), "4\n");
    assert_eq!(
        docker(&node, &["container", "prune", "--force"])
            .lines()
            .count(),
        4
    );
    // The client's times are whole seconds.
    let events = "sleep 1.1; /opt/docker events --since=2000-01-01T00:00:00Z --until=0s --filter=container=one \
        --format='{{.Action}}'";
    let events = node.run(&["sh", "-c", events]);
    assert_eq!(events, "create\nstart\ndie\ndestroy\n");
    docker(&node, &["rmi", "mine:1"]);
    docker(&node, &["image", "prune", "--all", "--force"]);
    assert_eq!(docker(&node, &["images", "--quiet"]), "");
}

#[test]
fn volumes_and_networks_are_the_machines() {
    let node = engine("e10");
    assert_eq!(
        docker(&node, &["volume", "create", "--label=a=b", "data"]),
        "data\n"
    );
    let run = |words: &[&str]| {
        let all: Vec<&str> = [
            "run",
            "--rm",
            "--network=none",
            "--volume=data:/data",
            "busybox:saved",
        ]
        .iter()
        .chain(words)
        .copied()
        .collect();
        docker(&node, &all)
    };
    run(&["sh", "-c", "echo kept >/data/file"]);
    assert_eq!(run(&["cat", "/data/file"]), "kept\n");
    assert_eq!(
        docker(&node, &["volume", "ls", "--format={{.Name}} {{.Driver}}"]),
        "data local\n"
    );
    let place = docker(
        &node,
        &["volume", "inspect", "--format={{.Mountpoint}}", "data"],
    );
    assert_eq!(place, "/var/lib/keelson/volumes/data\n");
    docker(
        &node,
        &[
            "create",
            "--name=user",
            "--network=none",
            "--volume=data:/data",
            "busybox:saved",
        ],
    );
    let (_, _, errors) = docker_may_fail(&node, &["volume", "rm", "data"]);
    assert!(errors.contains("volume is in use"), "{errors}");
    docker(&node, &["rm", "user"]);
    assert_eq!(docker(&node, &["volume", "rm", "data"]), "data\n");

    let id = docker(
        &node,
        &["network", "create", "--subnet=10.77.0.0/24", "net"],
    );
    assert_eq!(id.trim().len(), 64, "{id}");
    let subnet = [
        "network",
        "inspect",
        "--format={{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}",
        "net",
    ];
    assert_eq!(docker(&node, &subnet), "10.77.0.0/24 10.77.0.1\n");
    let list = docker(&node, &["network", "ls", "--format={{.Name}} {{.Driver}}"]);
    let mut list: Vec<&str> = list.lines().collect();
    list.sort_unstable();
    assert_eq!(
        list,
        ["bridge bridge", "host host", "net bridge", "none null"]
    );
    assert_eq!(docker(&node, &["network", "rm", "net"]), "net\n");
}

/// The namespace machine's containerd forgets everything with its memory: the image is loaded again, which a
/// machine with a disk would not need.
#[test]
fn a_boot_starts_what_was_not_stopped() {
    let mut node = engine("e8");
    start_steady(&node, "always", &["--restart=always"]);
    start_steady(&node, "stopped", &["--restart=unless-stopped"]);
    start_steady(&node, "never", &[]);
    docker(&node, &["stop", "stopped"]);
    node.boot_again();
    assert_eq!(
        node.property("launcherd.service", "ActiveState"),
        "inactive"
    );
    node.load("saved.tar");
    node.wait(
        &[CLIENT, "ps", "--format={{.Names}} {{.State}}"],
        "always running",
    );
    let list = docker(&node, &["ps", "--all", "--format={{.Names}} {{.State}}"]);
    let mut list: Vec<&str> = list.lines().collect();
    list.sort_unstable();
    assert_eq!(list, ["always running", "never exited", "stopped exited"]);
    docker(&node, &["start", "never"]);
    assert_eq!(inspect(&node, "never", ".State.Status"), "running");
}

#[test]
fn what_is_killed_as_it_was_asked_for_fails_no_unit() {
    let node = engine("e9");
    let deaf = |name: &str| {
        docker(
            &node,
            &[
                "run",
                "-d",
                "--name",
                name,
                "--network=none",
                "busybox:saved",
                "sleep",
                "1000",
            ],
        );
    };
    for (name, end) in [
        ("in-time", &["stop", "-t", "1", "in-time"][..]),
        ("signal", &["stop", "-s", "USR1", "-t", "1", "signal"]),
        ("kill", &["kill", "kill"]),
    ] {
        deaf(name);
        docker(&node, end);
        assert_eq!(docker(&node, &["wait", name]), "137\n", "{name}");
        assert_eq!(inspect(&node, name, ".State.ExitCode"), "137", "{name}");
        let failed = node.run(&[
            "systemctl",
            "list-units",
            "--failed",
            "--plain",
            "--no-legend",
        ]);
        assert!(!failed.contains("launch-"), "{name}: {failed}");
    }
}

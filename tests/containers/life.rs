//! The life of containers: units that start, are ready, stop and fail, and what is left of them.

use crate::archive::NOT_EXECUTABLE;
use crate::fixture::{Node, unit};

#[test]
fn a_container_is_its_unit() {
    let unit = unit(
        "",
        "busybox:saved",
        "sh -c 'trap \"exit 0\" TERM; echo out; echo err >&2; while :; do sleep 0.1; done'",
    );
    let node = Node::with_image("c1", &[("/etc/systemd/system/web.service", &unit)]);
    node.run(&["systemctl", "start", "web.service"]);
    assert_eq!(node.property("web.service", "ActiveState"), "active");
    assert_eq!(node.property("web.service", "StatusText"), "Running");

    let group = "/sys/fs/cgroup/system.slice/web.service";
    let payload = node.run(&["cat", &format!("{group}/payload/cgroup.procs")]);
    assert!(payload.lines().count() >= 1, "{payload}");
    let monitor = node.run(&["cat", &format!("{group}/launch/cgroup.procs")]);
    assert_eq!(monitor.trim(), node.property("web.service", "MainPID"));
    let program = node.run(&["cat", &format!("/proc/{}/comm", monitor.trim())]);
    assert_eq!(program, "launch-monitor\n");

    let entries = [
        "journalctl",
        "--unit=web.service",
        "--output=json",
        "CONTAINER_NAME=web",
    ];
    let entries = node.wait(&entries, "\"MESSAGE\":\"err\"");
    let entry = |message: &str| -> serde_json::Value {
        let line = entries
            .lines()
            .find(|line| line.contains(&format!("\"MESSAGE\":\"{message}\"")));
        serde_json::from_str(line.expect(message)).expect("JSON")
    };
    assert_eq!(entry("out")["PRIORITY"], "6");
    assert_eq!(entry("err")["PRIORITY"], "3");
    assert_eq!(
        entry("out")["IMAGE_NAME"],
        "docker.io/library/busybox:saved"
    );

    let proportional = format!(
        "awk '/^Pss:/ {{print $2}}' /proc/{}/smaps_rollup",
        monitor.trim()
    );
    let kilobytes: u64 = node
        .run(&["sh", "-c", &proportional])
        .trim()
        .parse()
        .expect("a number");
    println!("the monitor's PSS: {kilobytes} kB");
    assert!(kilobytes <= 3 * 1024, "the monitor needs {kilobytes} kB");

    node.run(&["systemctl", "stop", "web.service"]);
    assert_eq!(node.property("web.service", "Result"), "success");
    node.assert_nothing_left();
}

#[test]
fn it_ends_as_the_payload_ends() {
    let node = Node::with_image("c2", &[]);
    let shell = |script: &str| node.launch(&[], "busybox:saved", &["sh", "-c", script]);
    assert_eq!(
        shell("echo a; echo b >&2; exit 7"),
        (Some(7), "a\n".to_owned(), "b\n".to_owned())
    );
    let (code, output, _) = node.launch(&[], "busybox:saved", &[]);
    assert_eq!(
        (code, output.as_str()),
        (Some(0), "ran\n"),
        "the image's command"
    );
    let cases = [
        (
            node.launch(&[], "busybox:saved", &["no-such-program"]),
            127,
            "no-such-program",
        ),
        (
            node.launch(&[], "busybox:saved", &[NOT_EXECUTABLE]),
            126,
            "not executable",
        ),
        (
            node.launch(&["--pull=never"], "no/such:image", &[]),
            125,
            "use `launch pull` or `launch load`",
        ),
        (
            node.launch(&["--user=nobody"], "busybox:saved", &[]),
            125,
            "no user `nobody`",
        ),
        (
            node.launch(&["--volume=data"], "busybox:saved", &[]),
            125,
            "volume",
        ),
        (
            node.launch(&["--publish=80"], "busybox:saved", &[]),
            125,
            "--publish",
        ),
        (
            node.launch(
                &["--mount=type=bind,source=/no/such,target=/a"],
                "busybox:saved",
                &[],
            ),
            125,
            "/no/such is not there",
        ),
    ];
    for ((code, output, errors), expected, reason) in cases {
        assert_eq!(code, Some(expected), "{output}{errors}");
        assert!(errors.contains(reason), "{errors}");
    }
    what_the_kernel_does_not_execute(&node);
    node.assert_nothing_left();
}

/// Only its execution tells, which is when the container runs already; a payload's own code is its own.
fn what_the_kernel_does_not_execute(node: &Node) {
    node.run(&["sh", "-c", "mkdir -p /srv/bad; cd /srv/bad; echo no program >data; echo '#!/no/such' >script; chmod 755 *"]);
    let bad = "--volume=/srv/bad:/bad:ro";
    for program in ["/bad/data", "/bad/script"] {
        let (code, output, errors) = node.launch(&[bad], "busybox:saved", &[program]);
        assert_eq!(code, Some(126), "{program}: {output}{errors}");
        assert!(errors.contains(program), "{errors}");
    }
    let (code, _, _) = node.launch(&[bad], "busybox:saved", &["sh", "-c", "exit 1"]);
    assert_eq!(code, Some(1));
    let start = "systemd-run --quiet --unit=bad --property=Type=notify --property=Delegate=yes --property=DelegateSubgroup=launch \
        launch run --network=none --volume=/srv/bad:/bad:ro --name=bad busybox:saved sleep 1000";
    node.run(&["sh", "-c", start]);
    let exec = |words: &[&str]| {
        let (status, _, _) = node.output(&[&["launch", "exec", "bad"], words].concat());
        status.code()
    };
    assert_eq!(exec(&["/bad/data"]), Some(126));
    assert_eq!(exec(&["sh", "-c", "exit 1"]), Some(1));
    node.run(&["systemctl", "stop", "bad.service"]);
}

#[test]
fn the_payload_tells_systemd_that_it_is_ready() {
    // The machine's own systemd-notify, seen in the container.
    let notify = "/usr/lib64/ld-linux-x86-64.so.2 --library-path /usr/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu/systemd /usr/bin/systemd-notify";
    let script = format!(
        "until [ -e /srv/go ]; do sleep 0.1; done; {notify} --ready --status=serving; trap \"exit 0\" TERM; while :; do sleep 0.1; done"
    );
    let options = "--notify=payload --volume=/usr:/usr:ro --volume=/var/go:/srv";
    let unit = unit(options, "busybox:saved", &format!("sh -c '{script}'"));
    let node = Node::with_image("c3", &[("/etc/systemd/system/web.service", &unit)]);
    node.run(&["systemctl", "start", "--no-block", "web.service"]);
    node.wait(
        &["systemctl", "show", "--property=StatusText", "web.service"],
        "not ready yet",
    );
    assert_eq!(node.property("web.service", "ActiveState"), "activating");
    node.run(&["touch", "/var/go/go"]);
    node.wait(
        &["systemctl", "show", "--property=ActiveState", "web.service"],
        "=active",
    );
    assert_eq!(node.property("web.service", "StatusText"), "serving");
}

#[test]
fn a_killed_monitor_leaves_nothing_and_is_started_again() {
    let text = unit("", "busybox:saved", "sleep 1000").replace(
        "[Service]\n",
        "[Service]\nRestart=always\nRestartSec=0\nTimeoutStopSec=1\n",
    );
    let node = Node::with_image("c4", &[("/etc/systemd/system/web.service", &text)]);
    node.run(&["systemctl", "start", "web.service"]);
    let first = node.property("web.service", "MainPID");
    node.run(&["kill", "-9", &first]);
    node.wait(
        &["systemctl", "show", "--property=NRestarts", "web.service"],
        "=1",
    );
    node.wait(
        &["systemctl", "show", "--property=ActiveState", "web.service"],
        "=active",
    );
    assert_ne!(node.property("web.service", "MainPID"), first);
    let sleeping = node.run(&["sh", "-c", "grep -l sleep /proc/[0-9]*/comm | wc -l"]);
    assert_eq!(sleeping, "1\n", "the first payload is gone");

    let (code, _, errors) = node.launch(&["--name=web"], "busybox:saved", &[]);
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("a container named web is running already"),
        "{errors}"
    );

    node.run(&["systemctl", "restart", "containerd.service"]);
    assert_eq!(
        node.property("web.service", "NRestarts"),
        "1",
        "containerd is not needed"
    );
    // What is killed with its monitor and not started again is removed by whoever comes next.
    node.run(&[
        "systemctl",
        "kill",
        "--kill-whom=all",
        "--signal=KILL",
        "web.service",
    ]);
    node.run(&["systemctl", "stop", "web.service"]);
    node.shell(&[], "true");
    node.assert_nothing_left();
}

#[test]
fn layouts_are_loaded_and_pinned_and_the_policy_is_asked() {
    let policy = "default = \"refuse\"\n[[image]]\nprefix = \"docker.io/library/busybox\"\ndigest = \"required\"\n";
    let node = Node::with_image("c5", &[("/etc/keelson/images.toml", policy)]);
    assert_eq!(
        node.load("layout.tar"),
        "docker.io/library/busybox:layout\n"
    );
    let list = node.run(&["launch", "images"]);
    assert!(
        list.contains(&format!(
            "docker.io/library/busybox:layout   {}",
            node.digest
        )),
        "{list}"
    );
    let (code, _, errors) = node.launch(&[], "busybox:layout", &[]);
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("write docker.io/library/busybox@sha256:"),
        "{errors}"
    );
    let pinned = format!("busybox@{}", node.digest);
    let (code, output, errors) = node.launch(&[], &pinned, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    let other = format!("busybox@sha256:{}", "0".repeat(64));
    let (_, _, errors) = node.output(&[
        "launch",
        "load",
        "--name",
        &other,
        "/opt/archives/layout.tar",
    ]);
    assert!(errors.contains("is not what the archive holds"), "{errors}");
    let (_, _, errors) = node.launch(&[], "quay.io/a", &[]);
    assert!(
        errors.contains("no rule that allows `quay.io/a`"),
        "{errors}"
    );
}

/// As of any shell that became the program it was to start: nothing in it hears SIGTERM.
#[test]
fn a_payload_that_does_not_end_is_killed_and_cleaned_up_after() {
    let unit = unit("--stop-timeout=1", "busybox:saved", "sleep 1000");
    let node = Node::with_image("c9", &[("/etc/systemd/system/deaf.service", &unit)]);
    node.run(&["systemctl", "start", "deaf.service"]);
    let begun = std::time::Instant::now();
    node.run(&["systemctl", "stop", "deaf.service"]);
    let took = begun.elapsed();
    assert!(took >= std::time::Duration::from_secs(1), "{took:?}");
    // What was asked for is no failure of the unit, and the record says how the payload ended.
    assert_eq!(node.property("deaf.service", "Result"), "success");
    let record = node.run(&["launch", "inspect", "deaf"]);
    assert!(record.contains("\"code\": 137"), "{record}");
    node.assert_nothing_left();
}

#[test]
fn a_stop_that_was_asked_for_is_no_failure() {
    // It hears no SIGTERM, as the first process of a namespace without a handler does not.
    let deaf = |options: &str| {
        let options = format!("--stop-timeout=1 {options}");
        unit(&options, "busybox:saved", "sleep 1000")
    };
    let restarted = deaf(
        "--health-cmd=false --health-interval=1s --health-retries=1 --health-on-failure=restart",
    );
    let node = Node::with_image(
        "l9",
        &[
            ("/etc/systemd/system/deaf.service", &deaf("")),
            ("/etc/systemd/system/sick.service", &restarted),
        ],
    );
    let result = |unit: &str| node.property(unit, "Result");
    for stop in [&["systemctl", "stop", "deaf"], &["launch", "stop", "deaf"]] {
        node.run(&["systemctl", "start", "deaf"]);
        node.run(stop);
        assert_eq!(node.property("deaf", "ActiveState"), "inactive");
        assert_eq!(result("deaf"), "success");
        let all = node.run(&["launch", "inspect", "deaf"]);
        let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
        assert_eq!(all[0]["record"]["outcome"]["exited"]["code"], 137, "{all}");
    }
    // Who kills it without a stop, or finds it ill, sees a failure.
    node.run(&["systemctl", "start", "deaf"]);
    node.run(&["launch", "kill", "--signal=KILL", "deaf"]);
    node.wait(&["systemctl", "is-failed", "deaf"], "failed\n");
    assert_eq!(result("deaf"), "signal");
    node.run(&["systemctl", "start", "sick"]);
    node.wait(&["systemctl", "is-failed", "sick"], "failed\n");
    node.assert_nothing_left();
}

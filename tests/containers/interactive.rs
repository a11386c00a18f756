//! Terminals, input and output of containers over the Docker Engine API, and programs executed in them: docker's client
//! at pipes and at a pseudoterminal.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::engine::{CLIENT, docker, docker_may_fail, engine, inspect};
use crate::fixture::Node;
use crate::pseudoterminal::Pseudoterminal;

/// Ctrl-p, ctrl-q.
const DETACH: &str = "\x10\x11";
/// Ends in order, and is quick to.
const IDLE: &str = "trap \"exit 0\" TERM; while :; do sleep 0.1; done";

fn shell(node: &Node, script: &str) -> String {
    node.run(&["sh", "-c", &format!("alias docker={CLIENT}\n{script}")])
}

#[test]
fn input_and_output_are_bytes_and_none_is_lost() {
    let node = engine("i1");
    let run = "docker run --rm --network=none";
    let piped = format!("printf hi | {run} -i busybox:saved cat");
    assert_eq!(shell(&node, &piped), "hi");
    // No line feed is added, and nothing is between streams.
    let both = format!(
        "{run} busybox:saved sh -c 'printf out; printf err >&2; exit 7' 2>/tmp/err; echo $?; cat /tmp/err"
    );
    assert_eq!(shell(&node, &both), "out7\nerr");
    // The container waits for who does not read, and is over before the last is read.
    let burst = format!("{run} busybox:saved head -c 5000000 /dev/zero | {{ sleep 1; wc -c; }}");
    assert_eq!(shell(&node, &burst), "5000000\n");
    let rest = format!(
        "{run} --name=rest busybox:saved head -c 1400000 /dev/zero | {{ sleep 7; wc -c; }}"
    );
    assert_eq!(shell(&node, &rest), "1400000\n");
    // Both ways at once.
    let through = format!("head -c 5000000 /dev/zero | {run} -i busybox:saved cat | wc -c");
    assert_eq!(shell(&node, &through), "5000000\n");

    // An input that is not for one client alone outlives those that leave.
    docker(
        &node,
        &[
            "run",
            "-di",
            "--name=open",
            "--network=none",
            "busybox:saved",
            "cat",
        ],
    );
    // Docker's client stays until the container ends; the engine's side of the connection does not.
    for line in [&b"one\n"[..], b"two\n"] {
        let path = "/v1.47/containers/open/attach?stream=1&stdin=1&stdout=1";
        let mut client = Http::post(&node, path, true);
        client.stream.write_all(line).expect("sent");
        client.stream.shutdown(Shutdown::Write).expect("closed");
        client.read_to_end();
    }
    node.wait(&[CLIENT, "logs", "open"], "one\ntwo\n");
    assert_eq!(inspect(&node, "open", ".State.Status"), "running");
    docker(&node, &["rm", "--force", "open"]);

    // Attached to one that ran before, from its start.
    docker(
        &node,
        &[
            "create",
            "-i",
            "--name=again",
            "--network=none",
            "busybox:saved",
            "sh",
            "-c",
            "cat; exit 4",
        ],
    );
    for _ in 0..2 {
        let script = "printf again | docker start --attach --interactive again; echo $?";
        assert_eq!(shell(&node, script), "again4\n");
    }
    docker(&node, &["rm", "again"]);
    node.assert_nothing_left();
}

#[test]
fn terminals_are_joined_left_and_found_again() {
    let node = engine("i2");
    let run = [
        CLIENT,
        "run",
        "-it",
        "--network=none",
        "--name=shell",
        "busybox:saved",
        "sh",
        "-c",
        "stty size; exec sh",
    ];
    let mut terminal = Pseudoterminal::run(&node, 33, 77, &run);
    // Before it begins.
    terminal.expect("33 77");
    terminal.write("tty; echo $TERM\n");
    terminal.expect("/dev/");
    terminal.expect("xterm");
    terminal.resize(20, 60);
    terminal.write("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.1; done; echo a$((1+1))b\n");
    terminal.expect("a2b");
    terminal.write(DETACH);
    terminal.wait();
    assert_eq!(inspect(&node, "shell", ".State.Status"), "running");

    let attach = [CLIENT, "attach", "--detach-keys=ctrl-a", "shell"];
    let mut terminal = Pseudoterminal::run(&node, 24, 80, &attach);
    terminal.write("echo still h''ere\n");
    terminal.expect("still here");
    terminal.write("\x01");
    terminal.wait();

    the_engine_looks_for_keys_itself(&node);
    let mut terminal = Pseudoterminal::run(&node, 24, 80, &[CLIENT, "attach", "shell"]);
    terminal.write("exit 7\n");
    assert_eq!(terminal.wait().code(), Some(7));
    let logs = docker(&node, &["logs", "shell"]);
    assert!(
        logs.contains("33 77\r\n") && logs.contains("still here\r\n"),
        "{logs:?}"
    );
    docker(&node, &["rm", "shell"]);
    let run = "docker run --rm -i --network=none busybox:saved nope 2>&1 || echo [$?]";
    let told = shell(&node, run);
    assert!(told.contains("[127]"), "{told}");
    node.assert_nothing_left();
}

/// Not every client does.
fn the_engine_looks_for_keys_itself(node: &Node) {
    let mut plain = Http::post(
        node,
        "/v1.41/containers/shell/attach?stream=1&stdin=1&stdout=1&detachKeys=x,y",
        true,
    );
    assert!(plain.head.starts_with("HTTP/1.1 101 "), "{}", plain.head);
    assert!(
        plain.head.contains("application/vnd.docker.raw-stream"),
        "{}",
        plain.head
    );
    plain.stream.write_all(b"echo raw\nxy").expect("sent");
    plain.read_to_end();
    assert_eq!(inspect(node, "shell", ".State.Status"), "running");
}

#[test]
fn what_is_held_begins_and_old_clients_are_heard() {
    let node = engine("i3");
    // What a launcherd leaves that is killed while it starts a container.
    let create = [
        "create",
        "--name=held",
        "--network=none",
        "busybox:saved",
        "sh",
        "-c",
        IDLE,
    ];
    let id = docker(&node, &create).trim().to_owned();
    docker(&node, &["start", "held"]);
    docker(&node, &["stop", "held"]);
    node.run(&["touch", &format!("/run/keelson/launch-hold-{id}")]);
    node.run(&[
        "systemctl",
        "start",
        "--no-block",
        &format!("launch-{id}.service"),
    ]);
    node.wait(&["launch", "ps"], "   created   ");
    node.run(&["systemctl", "kill", "--signal=KILL", "launcherd.service"]);
    docker(&node, &["ps"]);
    node.wait(&["launch", "ps"], "   running   ");
    docker(&node, &["rm", "--force", "held"]);

    old_clients_are_heard(&node);
    node.assert_nothing_left();
}

/// Without an upgrade, and with the names of before and after 1.42.
fn old_clients_are_heard(node: &Node) {
    let script = "printf out; printf err >&2";
    docker(
        node,
        &[
            "create",
            "--name=old",
            "--network=none",
            "busybox:saved",
            "sh",
            "-c",
            script,
        ],
    );
    let path = |version| format!("/v{version}/containers/old/attach?stream=1&stdout=1&stderr=1");
    let mut before = Http::post(node, &path("1.41"), true);
    let mut after = Http::post(node, &path("1.42"), true);
    let mut plain = Http::post(node, &path("1.41"), false);
    docker(node, &["start", "old"]);
    assert!(
        before.head.contains("application/vnd.docker.raw-stream"),
        "{}",
        before.head
    );
    assert!(
        after
            .head
            .contains("application/vnd.docker.multiplexed-stream"),
        "{}",
        after.head
    );
    assert!(plain.head.contains(" 200 OK"), "{}", plain.head);
    assert!(!plain.head.contains("chunked"), "{}", plain.head);
    for (name, client) in [
        ("before", &mut before),
        ("after", &mut after),
        ("plain", &mut plain),
    ] {
        let all = client.read_to_end();
        let (out, err) = (
            &b"\x01\0\0\0\0\0\0\x03out"[..],
            &b"\x02\0\0\0\0\0\0\x03err"[..],
        );
        let is_either = all == [out, err].concat() || all == [err, out].concat();
        assert!(is_either, "{name}: {all:?}");
    }
    docker(node, &["wait", "old"]);
    docker(node, &["rm", "old"]);
}

/// A client of the test's own, on a connection that becomes a stream.
struct Http {
    stream: UnixStream,
    head: String,
}

impl Http {
    fn post(node: &Node, path: &str, upgrades: bool) -> Self {
        let socket = format!("/proc/{}/root/run/launcher.sock", node.process_id());
        let mut stream = UnixStream::connect(socket).expect("the engine");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("set");
        let upgrade = if upgrades {
            "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        } else {
            ""
        };
        let request = format!("POST {path} HTTP/1.1\r\nHost: engine\r\n{upgrade}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        Self { stream, head }
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        self.stream.read_to_end(&mut all).expect("its end");
        all
    }
}

#[test]
fn programs_are_executed_and_containers_frozen() {
    let node = engine("i4");
    docker(
        &node,
        &[
            "run",
            "-d",
            "--name=web",
            "--network=none",
            "--env=OF=payload",
            "busybox:saved",
            "sh",
            "-c",
            IDLE,
        ],
    );
    let exec = |words: &[&str]| docker_may_fail(&node, &[&["exec"], words].concat());
    let (code, output, errors) = exec(&["web", "sh", "-c", "echo o $OF; echo e >&2; exit 5"]);
    assert_eq!(
        (code, output.as_str(), errors.as_str()),
        (Some(5), "o payload\n", "e\n")
    );
    let script = "echo $A $OF $HOME; id -u; pwd; kill -9 $$";
    let words = [
        "-e", "A=1", "-e", "OF=exec", "-u", "web", "-w", "/tmp", "web", "sh", "-c", script,
    ];
    let (code, output, _) = exec(&words);
    assert_eq!(
        (code, output.as_str()),
        (Some(137), "1 exec /srv\n33\n/tmp\n")
    );
    let (code, output, errors) = exec(&["web", "no-such-program"]);
    assert_eq!(code, Some(127), "{output}{errors}");
    assert!(
        output.contains("OCI runtime exec failed"),
        "{output}{errors}"
    );
    let (code, output, errors) = exec(&["web", "/etc/passwd"]);
    assert_eq!(code, Some(126), "{output}{errors}");
    assert_eq!(shell(&node, "printf abc | docker exec -i web cat"), "abc");
    let through = "head -c 5000000 /dev/zero | docker exec -i web cat | { sleep 1; wc -c; }";
    assert_eq!(shell(&node, through), "5000000\n");
    assert_eq!(exec(&["-d", "web", "sleep", "777"]).0, Some(0));
    assert!(docker(&node, &["top", "web"]).contains("sleep 777"));
    assert_eq!(inspect(&node, "web", "len .ExecIDs"), "1");
    let (code, _, errors) = exec(&["-d", "web", "no-such-program"]);
    assert!(
        code != Some(0) && errors.contains("no-such-program"),
        "{errors}"
    );
    privileged_is_all_that_there_is(&node);
    let mut terminal = Pseudoterminal::run(&node, 33, 77, &[CLIENT, "exec", "-it", "web", "sh"]);
    terminal.write("tty; stty size\n");
    terminal.expect("/dev/pts/");
    terminal.expect("33 77");
    terminal.resize(20, 60);
    terminal.write("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.1; done; exit 4\n");
    assert_eq!(terminal.wait().code(), Some(4));
    containers_are_frozen(&node);
    events_tell_of_executions(&node);
    docker(&node, &["rm", "web"]);
    node.assert_nothing_left();
}

/// Which need not be all that the kernel knows.
fn privileged_is_all_that_there_is(node: &Node) {
    let all = node.run(&["sed", "-n", "s/^CapPrm://p", "/proc/1/status"]);
    let status = ["grep", "CapEff", "/proc/self/status"];
    let exec = ["exec", "--privileged", "web"];
    let (_, output, errors) = docker_may_fail(node, &[&exec[..], &status].concat());
    assert_eq!(output, format!("CapEff:{all}"), "{errors}");
    let run = [
        "run",
        "--rm",
        "--privileged",
        "--network=none",
        "busybox:saved",
    ];
    let output = docker(node, &[&run[..], &status].concat());
    assert_eq!(output, format!("CapEff:{all}"));
}

fn containers_are_frozen(node: &Node) {
    docker(node, &["pause", "web"]);
    assert_eq!(inspect(node, "web", ".State.Status"), "paused");
    assert_eq!(inspect(node, "web", ".State.Paused"), "true");
    assert!(docker(node, &["ps"]).contains("(Paused)"));
    for (words, reason) in [
        (&["pause", "web"][..], "already paused"),
        (
            &["exec", "web", "true"],
            "unpause the container before exec",
        ),
        (&["attach", "web"], "paused"),
    ] {
        let (code, _, errors) = docker_may_fail(node, words);
        assert!(code != Some(0) && errors.contains(reason), "{errors}");
    }
    docker(node, &["unpause", "web"]);
    docker(node, &["exec", "web", "true"]);
    docker(node, &["pause", "web"]);
    docker(node, &["stop", "web"]);
    assert_eq!(inspect(node, "web", ".State.ExitCode"), "0");
    let (code, _, errors) = docker_may_fail(node, &["exec", "web", "true"]);
    assert!(
        code == Some(1) && errors.contains("is not running"),
        "{errors}"
    );
}

fn events_tell_of_executions(node: &Node) {
    // The client's times are whole seconds.
    let events = "sleep 1.1; docker events --since=2000-01-01T00:00:00Z --until=0s --filter=container=web \
        --format='{{.Action}} {{.Actor.Attributes.exitCode}}'";
    let events = shell(node, events);
    for line in [
        "exec_create: sh -c echo o $OF; echo e >&2; exit 5 <no value>\n",
        "exec_die 5\n",
        "exec_die 137\n",
        "pause <no value>\n",
        "unpause <no value>\n",
    ] {
        assert!(events.contains(line), "{line}: {events}");
    }
    let only = "docker events --since=2000-01-01T00:00:00Z --until=0s --filter=event=exec_start --format='{{.Action}}'";
    assert!(
        shell(node, only)
            .lines()
            .all(|line| line.starts_with("exec_start: "))
    );
}

//! Terminals and attached clients: what the payload sees of them, and what it does not notice.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use crate::fixture::{KILL_CLIENTS, Node, unit};
use crate::pseudoterminal::Pseudoterminal;

/// Ctrl-p, ctrl-q.
const DETACH: &str = "\x10\x11";

#[test]
fn a_payload_has_a_terminal_that_is_left_and_found_again() {
    let unit = unit("-it", "busybox:saved", "sh");
    let node = Node::with_image("t1", &[("/etc/systemd/system/shell.service", &unit)]);
    node.run(&["systemctl", "start", "shell.service"]);
    let mut terminal = Pseudoterminal::run(&node, 33, 77, &["launch", "attach", "shell"]);
    terminal.write("tty; stty size; echo $TERM\n");
    terminal.expect("/dev/");
    terminal.expect("33 77");
    terminal.expect("xterm");
    terminal.resize(20, 60);
    terminal.write("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.1; done; echo a$((1+1))b\n");
    terminal.expect("a2b");
    terminal.write(DETACH);
    terminal.expect("detached");
    assert!(terminal.wait().success());
    assert_eq!(node.property("shell.service", "ActiveState"), "active");

    // Whoever is killed is missed by nobody.
    let mut killed = Pseudoterminal::run(&node, 24, 80, &["launch", "attach", "shell"]);
    killed.write("echo $$-$$\n");
    killed.expect("1-1");
    node.run(&["sh", "-c", KILL_CLIENTS]);
    killed.wait();
    assert_eq!(node.property("shell.service", "ActiveState"), "active");

    let mut terminal = Pseudoterminal::run(&node, 24, 80, &["launch", "attach", "shell"]);
    terminal.write("echo still h''ere; exit 7\n");
    terminal.expect("still here");
    assert_eq!(terminal.wait().code(), Some(7));
    node.wait(
        &[
            "systemctl",
            "show",
            "--property=ActiveState",
            "shell.service",
        ],
        "=failed",
    );
    assert_eq!(node.property("shell.service", "ExecMainStatus"), "7");
    let logs = node.run(&["launch", "logs", "shell"]);
    assert!(logs.lines().any(|line| line == "33 77"), "{logs:?}");
    node.assert_nothing_left();
}

#[test]
fn input_reaches_the_payload_and_ends() {
    let unit = unit("-i", "busybox:saved", "cat");
    let node = Node::with_image("t2", &[("/etc/systemd/system/cat.service", &unit)]);
    node.run(&["systemctl", "start", "cat.service"]);
    let script = "printf 'a\\nb\\n' | launch attach cat";
    assert_eq!(node.run(&["sh", "-c", script]), "a\nb\n");
    node.wait(
        &["systemctl", "show", "--property=ActiveState", "cat.service"],
        "=inactive",
    );
    // Without a unit that writes the journal the payload has its launcher's streams.
    let script = "printf 'x' | launch run -i --network=none busybox:saved cat";
    assert_eq!(node.run(&["sh", "-c", script]), "x");
    node.assert_nothing_left();
}

#[test]
fn a_slow_client_stops_nobody_and_is_told() {
    let script = "read x; head -c 3000000 /dev/zero; echo over >&2; read y";
    let unit = unit("-i", "busybox:saved", &format!("sh -c '{script}'"));
    let node = Node::with_image("t3", &[("/etc/systemd/system/loud.service", &unit)]);
    node.run(&["systemctl", "start", "loud.service"]);
    let attach = |words: &[&str]| {
        let mut command = node.command("launch");
        command
            .args(["attach", "--no-stdin"])
            .args(words)
            .arg("loud");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("launch")
    };
    let mut slow = attach(&[]);
    let fast = attach(&["--wait"]);
    let fast = std::thread::spawn(move || fast.wait_with_output().expect("its output"));
    // Both are attached before the payload begins.
    let attached = "grep -lx launch /proc/[0-9]*/comm | wc -l; sleep 1";
    node.wait(&["sh", "-c", attached], "2");
    let go = "{ echo go; sleep 1; } | launch attach loud >/dev/null";
    let go = node
        .command("sh")
        .args(["-c", go])
        .spawn()
        .expect("a shell");
    node.wait(&["launch", "logs", "loud"], "over");
    drop(go.wait_with_output());
    let fast = fast.join().expect("a thread");
    assert_eq!(
        fast.stdout.len(),
        3_000_000,
        "who is waited for has all of it"
    );
    assert!(fast.stderr.ends_with(b"over\n"));

    let (mut output, mut errors) = (Vec::new(), String::new());
    slow.stdout
        .take()
        .expect("a pipe")
        .read_to_end(&mut output)
        .expect("read");
    slow.stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut errors)
        .expect("read");
    // As the payload, whose last `read` found the end.
    assert_eq!(slow.wait().expect("a child").code(), Some(1));
    // What is not there is told, of both streams.
    let told = |line: &str| -> Option<usize> {
        let rest = line.strip_prefix("launch: ")?;
        rest.split_once(" bytes of output were not taken")?
            .0
            .parse()
            .ok()
    };
    let lost: usize = errors.lines().filter_map(told).sum();
    let error = if errors.contains("over\n") { 5 } else { 0 };
    assert!(lost > 0, "{errors}");
    assert_eq!(output.len() + error + lost, 3_000_005, "{errors}");
    // Long lines in pieces of 48 KiB, the rest of them, and the error.
    let lines = ["sh", "-c", "echo [$(launch logs loud | wc -l)]"];
    node.wait(&lines, "[63]");
    node.assert_nothing_left();
}

#[test]
fn a_container_runs_in_a_terminal_without_a_unit() {
    let node = Node::with_image("t4", &[]);
    let words = [
        "launch",
        "run",
        "-it",
        "--network=none",
        "--name=hand",
        "busybox:saved",
        "sh",
    ];
    let mut terminal = Pseudoterminal::run(&node, 31, 71, &words);
    terminal.write("until [ \"$(stty size)\" = '31 71' ]; do sleep 0.1; done; echo a$((1+1))b\n");
    terminal.expect("a2b");
    let list = node.run(&["launch", "ps", "--quiet"]);
    assert_eq!(list, "hand\n");
    terminal.write(DETACH);
    terminal.expect("launch attach hand");
    assert!(terminal.wait().success());
    assert_eq!(
        node.run(&["launch", "ps", "--quiet"]),
        "hand\n",
        "it goes on"
    );
    let mut terminal = Pseudoterminal::run(&node, 24, 80, &["launch", "attach", "hand"]);
    terminal.write("exit 3\n");
    assert_eq!(terminal.wait().code(), Some(3));
    std::thread::sleep(Duration::from_millis(100));
    let mut missing = Pseudoterminal::run(
        &node,
        24,
        80,
        &["launch", "run", "-it", "--network=none", "no/such:image"],
    );
    missing.expect("no/such:image");
    assert_eq!(missing.wait().code(), Some(125));
    node.wait(&["sh", "-c", "echo [$(launch ps --quiet)]"], "[]");
    node.assert_nothing_left();
}

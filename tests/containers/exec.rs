//! Programs executed in running containers, and the commands that look at these.

use crate::fixture::{KILL_CLIENTS, Node, unit};
use crate::pseudoterminal::Pseudoterminal;

const IDLE: &str = "sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.1; done'";

fn node(name: &str) -> Node {
    let unit = unit("--env=OF=payload", "busybox:saved", IDLE);
    let node = Node::with_image(name, &[("/etc/systemd/system/web.service", &unit)]);
    node.run(&["systemctl", "start", "web.service"]);
    node
}

#[test]
fn programs_run_beside_the_payload() {
    let node = node("e1");
    let exec = |words: &[&str]| {
        let all: Vec<&str> = ["launch", "exec"].iter().chain(words).copied().collect();
        let (status, output, errors) = node.output(&all);
        (status.code(), output, errors)
    };
    let (code, output, errors) = exec(&["web", "sh", "-c", "echo o $OF; echo e >&2; exit 5"]);
    assert_eq!(
        (code, output.as_str(), errors.as_str()),
        (Some(5), "o payload\n", "e\n")
    );
    let script = "echo $A $OF $HOME; id -u; id -G; pwd; grep CapEff /proc/self/status; kill -9 $$";
    let words = [
        "-e", "A=1", "-e", "OF=exec", "-u", "web", "-w", "/tmp", "web", "sh", "-c", script,
    ];
    let (code, output, _) = exec(&words);
    let expected = "1 exec /srv\n33\n34 40\n/tmp\nCapEff:\t0000000000000000\n";
    assert_eq!((code, output.as_str()), (Some(137), expected));
    let (code, _, errors) = exec(&["web", "no-such-program"]);
    assert_eq!(code, Some(127), "{errors}");
    let (code, _, errors) = exec(&["web", "/etc/passwd"]);
    assert_eq!(code, Some(126), "{errors}");
    let (code, _, errors) = exec(&["nobody", "true"]);
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("no container named nobody is running"),
        "{errors}"
    );
    let (code, _, errors) = exec(&["-u", "nobody", "web", "true"]);
    assert_eq!(code, Some(125));
    assert!(errors.contains("no user `nobody`"), "{errors}");

    let shell = |script: &str| node.run(&["sh", "-c", script]);
    assert_eq!(shell("printf abc | launch exec -i web cat"), "abc");
    // Both directions at once, and nothing is lost though the program waits for its client.
    let script = "head -c 5000000 /dev/zero | launch exec -i web cat | { sleep 1; wc -c; }";
    assert_eq!(shell(script), "5000000\n");
    assert_eq!(exec(&["-d", "web", "sleep", "777"]).0, Some(0));
    let group = "/sys/fs/cgroup/system.slice/web.service/payload/cgroup.procs";
    let lines = format!("for p in $(cat {group}); do tr '\\0' ' ' </proc/$p/cmdline; echo; done");
    assert!(
        shell(&lines).contains("sleep 777"),
        "it is counted with the payload"
    );
    let top = node.run(&["launch", "top", "web"]);
    assert!(top.contains("sleep 777") && top.contains("trap"), "{top}");

    let monitor = node.property("web.service", "MainPID");
    let proportional = format!("awk '/^Pss:/ {{print $2}}' /proc/{monitor}/smaps_rollup");
    let kilobytes: u64 = shell(&proportional).trim().parse().expect("a number");
    println!("the monitor's PSS after all that: {kilobytes} kB");
    assert!(kilobytes <= 3 * 1024, "the monitor needs {kilobytes} kB");
    assert_eq!(
        shell(&format!(
            "ls /proc/{monitor}/fd | wc -l; ls /run/keelson/launch/web | grep -c exec-; true"
        ))
        .lines()
        .nth(1),
        Some("0")
    );
    node.run(&["systemctl", "stop", "web.service"]);
    node.assert_nothing_left();
}

#[test]
fn a_program_has_a_terminal_and_ends_with_it() {
    let node = node("e2");
    let words = ["launch", "exec", "-it", "web", "sh"];
    let mut terminal = Pseudoterminal::run(&node, 33, 77, &words);
    terminal.write("tty; stty size\n");
    terminal.expect("/dev/pts/");
    terminal.expect("33 77");
    terminal.resize(20, 60);
    terminal.write("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.1; done; exit 4\n");
    assert_eq!(terminal.wait().code(), Some(4));

    let mut killed = Pseudoterminal::run(&node, 24, 80, &words);
    killed.write("echo a$((1+1))b; exec sleep 888\n");
    killed.expect("a2b");
    node.wait(&["launch", "top", "web"], "sleep 888");
    node.run(&["sh", "-c", KILL_CLIENTS]);
    killed.wait();
    node.wait(
        &["sh", "-c", "launch top web | grep -q 888 || echo gone"],
        "gone",
    );

    let mut left = Pseudoterminal::run(&node, 24, 80, &words);
    left.write("echo a$((1+1))b; exec sleep 999\n");
    left.expect("a2b");
    node.wait(&["launch", "top", "web"], "sleep 999");
    left.write("\x10\x11");
    left.expect("detached");
    assert!(left.wait().success());
    assert!(node.run(&["launch", "top", "web"]).contains("sleep 999"));
}

#[test]
fn containers_are_listed_frozen_killed_and_remembered() {
    let node = node("e3");
    let list = node.run(&["launch", "ps"]);
    let line = list.lines().nth(1).expect("a line");
    assert!(
        line.starts_with("web    docker.io/library/busybox:saved   running   20"),
        "{list}"
    );
    assert!(line.ends_with("   web"), "{list}");
    node.run(&["launch", "pause", "web"]);
    assert!(node.run(&["launch", "ps"]).contains("   paused   "));
    let (status, _, errors) = node.output(&["launch", "exec", "web", "true"]);
    assert_eq!(status.code(), Some(125));
    assert!(errors.contains("the container is paused"), "{errors}");
    node.run(&["launch", "unpause", "web"]);
    let used = node.run(&["launch", "stats", "--no-stream", "--json"]);
    assert!(used.contains("\"name\":\"web\""), "{used}");
    let text = node.run(&["launch", "inspect", "web"]);
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(all[0]["status"]["state"], "running");
    assert_eq!(all[0]["record"]["outcome"], "running");

    assert_eq!(node.run(&["launch", "kill", "-s", "TERM", "web"]), "web\n");
    let state = ["systemctl", "show", "--property=ActiveState", "web.service"];
    node.wait(&state, "=inactive");
    let record = |node: &Node| -> serde_json::Value {
        let text = node.run(&["cat", "/var/lib/keelson/container-exits/web.json"]);
        serde_json::from_str(&text).expect("JSON")
    };
    let exited = record(&node);
    assert_eq!(exited["outcome"]["exited"]["code"], 0);
    assert_eq!(exited["unit"], "web");
    assert!(exited["started_at"].as_u64() <= exited["outcome"]["exited"]["ended_at"].as_u64());

    // Of a monitor that was killed only the beginning is known.
    node.run(&["systemctl", "start", "web.service"]);
    let monitor = node.property("web.service", "MainPID");
    node.run(&["kill", "-9", &monitor]);
    node.wait(&state, "=failed");
    let unfinished = record(&node);
    assert_eq!(unfinished["outcome"], "running");
    assert_ne!(unfinished["invocation"], exited["invocation"]);
    assert!(node.run(&["launch", "ps", "--all"]).contains("   lost   "));
    assert_eq!(node.run(&["launch", "ps", "--quiet"]), "");

    node.run(&["systemctl", "start", "web.service"]);
    assert_eq!(node.run(&["launch", "stop", "web"]), "web\n");
    assert_eq!(node.property("web.service", "ActiveState"), "inactive");
    node.run(&["launch", "inspect", "web"]);
    node.assert_nothing_left();
}

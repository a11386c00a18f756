//! Attaching over the Docker Engine API with what was written before, and by websocket: curl is the client.

use crate::engine::{CLIENT, docker, engine};
use crate::fixture::Node;

/// The path of `attach` of a container, with `/ws` or without.
fn path(container: &str, ending: &str, query: &str) -> String {
    format!("localhost/v1.45/containers/{container}/attach{ending}?{query}")
}

fn curl(node: &Node, options: &[&str], url: &str) -> String {
    let mut words = vec!["curl", "-sS", "--max-time", "50", "--unix-socket"];
    words.push("/run/launcher.sock");
    words.extend(options);
    words.push(url);
    node.run(&words)
}

/// A container that says one line, and another each time that it gets SIGHUP, until SIGTERM.
fn speaker(node: &Node, name: &str) {
    let script = "trap 'echo more' HUP; trap 'echo end; exit 0' TERM; echo first; echo bad >&2; while :; do sleep 0.1; done";
    docker(
        node,
        &[
            "run",
            "-d",
            "--name",
            name,
            "--network=none",
            "busybox:saved",
            "sh",
            "-c",
            script,
        ],
    );
    node.wait(&["sh", "-c", &format!("curl -s --unix-socket /run/launcher.sock 'http://localhost/v1.45/containers/{name}/logs?stdout=1'")], "first");
}

/// Has a client attached while the container is told to go on and then to end.
fn seen_until_the_end(node: &Node, name: &str, client: &str) -> String {
    let script = format!(
        "{client} >/tmp/seen & sleep 3; {CLIENT} kill -s HUP {name} >/dev/null; sleep 1; \
         {CLIENT} kill -s TERM {name} >/dev/null; wait; cat /tmp/seen"
    );
    let seen = node.run(&["sh", "-c", &script]);
    docker(node, &["rm", "--force", name]);
    seen
}

#[test]
fn what_was_written_before_comes_first() {
    let node = engine("a1");
    speaker(&node, "one");
    let url = format!("http://{}", path("one", "", "logs=1&stream=0&stdout=1"));
    let before = curl(&node, &["-X", "POST"], &url);
    assert_eq!(
        before, "\u{1}\0\0\0\0\0\0\u{6}first\n",
        "without the live ones it ends"
    );
    let url = format!("http://{}", path("one", "", "logs=1&stream=1&stdout=1"));
    let client =
        format!("curl -sSN --max-time 50 --unix-socket /run/launcher.sock -X POST '{url}'");
    let seen = seen_until_the_end(&node, "one", &client);
    let lines: Vec<&str> = seen.lines().map(|line| &line[8..]).collect();
    assert_eq!(lines, ["first", "more", "end"], "{seen:?}");
}

#[test]
fn a_websocket_carries_both_streams() {
    let node = engine("a2");
    speaker(&node, "two");
    let url = format!(
        "ws://{}",
        path("two", "/ws", "logs=1&stream=1&stdout=1&stderr=1")
    );
    let client = format!("curl -sSN --max-time 50 --unix-socket /run/launcher.sock '{url}'");
    let seen = seen_until_the_end(&node, "two", &client);
    let mut lines: Vec<&str> = seen.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["bad", "end", "first", "more"], "{seen:?}");

    speaker(&node, "three");
    let url = format!("http://{}", path("three", "/ws", "stream=1"));
    let refused = curl(&node, &[], &url);
    assert!(refused.contains("this is for websockets"), "{refused}");
}

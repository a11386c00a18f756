//! Members as they are run: alone, and as a cluster that finds itself by discovery.

mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use program::{Running, free_port, kvd};

/// A request on a connection of its own: status and body; none if nobody answers.
fn ask(port: u16, method: &str, path: &str, form: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let length = form.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Asks until the answer has this status and text; no more than a minute.
fn ask_until(port: u16, (method, path, form): (&str, &str, &str), status: u16, text: &str) {
    let begun = Instant::now();
    loop {
        let answer = ask(port, method, path, form);
        if let Some((found, body)) = &answer
            && *found == status
            && body.contains(text)
        {
            return;
        }
        let waited = begun.elapsed() < Duration::from_mins(1);
        assert!(waited, "{method} {path} at {port}: {answer:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

struct Member {
    name: String,
    port: u16,
    running: Running,
}

fn start(folder: &Path, name: &str, more: &[&str]) -> Member {
    let (port, peer_port) = (free_port(), free_port());
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let client = format!("--listen-client-urls=http://127.0.0.1:{port}");
    let peer = format!("--listen-peer-urls=https://127.0.0.1:{peer_port}");
    let own_name = format!("--name={name}");
    let words = [&[&*own_name, &*client, &*peer, "--peer-auto-tls"], more].concat();
    let running = Running::start(&mut kvd(&folder, &words), &folder);
    Member {
        name: name.to_owned(),
        port,
        running,
    }
}

#[test]
fn a_member_alone_keeps_what_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = free_port();
    let flag = format!("--listen-metrics-urls=http://127.0.0.1:{metrics}");
    let member = start(folder.path(), "a", &[&flag]);
    member.running.wait_for("READY=1");
    let put = ("PUT", "/v2/keys/message", "value=hello");
    ask_until(member.port, put, 201, "\"value\":\"hello\"");
    assert_eq!(ask(metrics, "GET", "/health", "").unwrap().0, 200);
    assert_eq!(ask(metrics, "GET", "/v2/keys/message", "").unwrap().0, 404);
    assert_eq!(member.running.end(), Some(0));

    let again = start(folder.path(), "a", &[]);
    let get = ("GET", "/v2/keys/message", "");
    ask_until(again.port, get, 200, "\"value\":\"hello\"");
    assert_eq!(again.running.end(), Some(0));
}

#[test]
fn members_discover_each_other_and_the_leader_hands_over_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path(), "service", &[]);
    let token = "/v2/keys/_etcd/registry/token";
    let size = format!("{token}/_config/size");
    ask_until(service.port, ("PUT", &size, "value=3"), 201, "3");
    let flag = format!("--discovery=http://127.0.0.1:{}{token}", service.port);
    let mut members: Vec<Member> = ["a", "b", "c"]
        .iter()
        .map(|name| start(folder.path(), name, &[&flag]))
        .collect();
    for member in &members {
        // Ready is said before there is a quorum, so this is not: served comes later.
        member.running.wait_for("READY=1");
        ask_until(member.port, ("GET", "/v2/members/leader", ""), 200, "name");
    }
    ask_until(members[0].port, ("PUT", "/v2/keys/x", "value=1"), 201, "1");

    // Who comes late stands in front of the cluster.
    let late = start(folder.path(), "late", &[&flag]);
    ask_until(
        late.port,
        ("GET", "/v2/keys/x?quorum=true", ""),
        200,
        "\"value\":\"1\"",
    );
    ask_until(
        late.port,
        ("GET", "/v2/config/local/proxy", ""),
        200,
        "endpoints",
    );

    let (_, leader) = ask(members[0].port, "GET", "/v2/members/leader", "").unwrap();
    let leads = |member: &Member| leader.contains(&format!("\"name\":\"{}\"", member.name));
    let place = members
        .iter()
        .position(leads)
        .expect("the leader is one of them");
    let leader = members.remove(place);
    assert_eq!(leader.running.end(), Some(0));
    for member in &members {
        ask_until(
            member.port,
            ("PUT", "/v2/keys/x", "value=2"),
            200,
            "\"value\":\"2\"",
        );
    }
    ask_until(
        late.port,
        ("GET", "/v2/keys/x?quorum=true", ""),
        200,
        "\"value\":\"2\"",
    );
}

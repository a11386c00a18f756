//! What etcdctl does not have: locks, elections, the table of members, load, help.
//!
//! All against a real etcd, since it must work with any server.
#[path = "../../kv-client/tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use support::Etcd;

fn kvctl(etcd: &Etcd, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvctl"));
    // A busy machine may take long; nothing here is about time.
    command.args(["--timeout", "60s", "--total-timeout", "120s"]);
    command.args(line.split(' ')).stdin(Stdio::null());
    command.env("KVCTL_ENDPOINTS", &etcd.url);
    command
}

fn output(etcd: &Etcd, line: &str) -> (String, String, Option<i32>) {
    let Output {
        stdout,
        stderr,
        status,
    } = kvctl(etcd, line).output().expect("kvctl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (text(&stdout), text(&stderr), status.code())
}

fn stop(child: &Child) {
    let id = child.id().to_string();
    let status = Command::new("kill").args(["-TERM", &id]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn two_contenders_hold_a_lock_one_after_the_other() {
    let etcd = Etcd::start();
    let mut first = kvctl(&etcd, "lock /l")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kvctl runs");
    let mut line = String::new();
    let mut out = BufReader::new(first.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("the lock's key");
    assert!(line.starts_with("/l/"), "{line}");

    let second = kvctl(&etcd, "lock /l env")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kvctl runs");
    // The second is in the queue once there are two keys; it must not run its command yet.
    while output(&etcd, "ls /l").0.lines().count() < 2 {}
    output(&etcd, "set /released yes");
    stop(&first);
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    let second = second.wait_with_output().expect("it ends");
    assert_eq!(second.status.code(), Some(0));
    let environment = String::from_utf8_lossy(&second.stdout);
    let variable = |name: &str| {
        let line = environment.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {environment}"))
            .to_owned()
    };
    let key = variable("KVCTL_LOCK_KEY=");
    assert!(key.as_str() > line.trim(), "{key} was made later");
    let index: u64 = variable("KVCTL_LOCK_INDEX=").parse().expect("an index");
    assert!(key.ends_with(&index.to_string()));
    assert_eq!(output(&etcd, "ls /l").0, "", "both have left");
}

#[test]
fn a_lock_gives_the_commands_exit_code() {
    let etcd = Etcd::start();
    let mut command = kvctl(&etcd, "lock /l sh -c");
    let status = command.arg("exit 7").status().expect("kvctl runs");
    assert_eq!(status.code(), Some(7));
    let mut command = kvctl(&etcd, "lock /l sh -c");
    let status = command.arg("kill -TERM $$").status().expect("kvctl runs");
    assert_eq!(status.code(), Some(128 + 15));
    assert_eq!(output(&etcd, "lock /l /no/such/program").2, Some(1));
    assert_eq!(output(&etcd, "ls /l").0, "");
}

#[test]
fn a_lost_lock_ends_its_command() {
    let etcd = Etcd::start();
    let mut holder = kvctl(&etcd, "lock --ttl 2 /l sleep 60")
        .stderr(Stdio::piped())
        .spawn()
        .expect("kvctl runs");
    let mut keys = String::new();
    while keys.is_empty() {
        keys = output(&etcd, "ls /l").0;
    }
    output(&etcd, &format!("rm {keys}"));
    assert_eq!(holder.wait().expect("it ends").code(), Some(4));
}

#[test]
fn the_elected_are_followed() {
    let etcd = Etcd::start();
    let spawn = |line: &str| {
        kvctl(&etcd, line)
            .stdout(Stdio::piped())
            .spawn()
            .expect("kvctl runs")
    };
    let mut follower = spawn("elect --listen /e");
    let mut seen = BufReader::new(follower.stdout.take().expect("its output")).lines();
    let mut next = || seen.next().expect("a line").expect("text");
    let mut first = spawn("elect /e one");
    assert!(next().starts_with("/e/"));
    assert_eq!(next(), "one");
    let mut second = spawn("elect /e two");
    while output(&etcd, "ls /e").0.lines().count() < 2 {}
    stop(&first);
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    assert!(next().starts_with("/e/"));
    assert_eq!(next(), "two");
    let mut own = BufReader::new(second.stdout.take().expect("its output")).lines();
    assert!(own.next().is_some(), "it knows that it is elected");
    for child in [&mut second, &mut follower] {
        stop(child);
        assert_eq!(child.wait().expect("it ends").code(), Some(0));
    }
}

#[test]
fn members_stand_in_a_table() {
    let etcd = Etcd::start();
    let (out, _, code) = output(&etcd, "status");
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(
        lines[0].starts_with("ENDPOINT") && lines[0].ends_with("LATENCY"),
        "{out}"
    );
    for part in [etcd.url.as_str(), "one", "true", "3.4.23", "KiB", " ms"] {
        assert!(lines[1].contains(part), "{part} in {out}");
    }
    let json = output(&etcd, "-o json status").0;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json[0]["version"], "3.4.23");
    assert_eq!(json[0]["is_leader"], true);
    assert!(json[0]["db_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
}

#[test]
fn changes_run_a_program() {
    let etcd = Etcd::start();
    output(&etcd, "set /w/a first");
    let mut watch = kvctl(&etcd, "exec-watch --recursive --after-index 3 /w -- env")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kvctl runs");
    let lines = BufReader::new(watch.stdout.take().expect("its output")).lines();
    let mut found: Vec<String> = Vec::new();
    for line in lines.map_while(Result::ok) {
        if line.starts_with("ETCD_WATCH_") {
            found.push(line);
        }
        if found.len() == 4 {
            break;
        }
    }
    found.sort();
    assert_eq!(
        found,
        [
            "ETCD_WATCH_ACTION=set",
            "ETCD_WATCH_KEY=/w/a",
            "ETCD_WATCH_MODIFIED_INDEX=4",
            "ETCD_WATCH_VALUE=first"
        ]
    );
    stop(&watch);
    assert_eq!(watch.wait().expect("it ends").code(), Some(0));
}

#[test]
fn load_is_measured() {
    let etcd = Etcd::start();
    for (line, requests) in [
        (
            "bench put --connections 4 --requests 200 --keys 50 -o json",
            200,
        ),
        (
            "bench get --connections 4 --requests 300 --keys 50 --quorum --sequential -o json",
            300,
        ),
        (
            "bench get --requests 100 --keys 20 --value-bytes 10000 --output json",
            100,
        ),
    ] {
        let (out, error, code) = output(&etcd, line);
        assert_eq!(code, Some(0), "{error}");
        let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(report["requests"], requests, "{out}");
        assert_eq!(report["errors"], 0, "{out}");
        let latency = &report["latency_microseconds"];
        assert!(latency["p50"].as_f64() <= latency["max"].as_f64(), "{out}");
    }
    let found = output(&etcd, "ls /kvctl-bench").0;
    assert_eq!(found.lines().count(), 50);
    let (out, error, code) = output(&etcd, "bench watch --connections 30 --requests 5 -o json");
    assert_eq!(code, Some(0), "{error}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&report["rounds"], &report["errors"]),
        (&5.into(), &0.into()),
        "{out}"
    );
    let text = output(&etcd, "bench put --requests 10").0;
    assert!(text.contains("p99.9"), "{text}");
}

#[test]
fn load_is_measured_by_grpc() {
    let etcd = Etcd::start();
    for kind in ["grpc-put", "grpc-range", "grpc-range --quorum", "grpc-txn"] {
        let line = format!("bench {kind} --connections 4 --requests 200 --keys 50 -o json");
        let (out, error, code) = output(&etcd, &line);
        assert_eq!(code, Some(0), "{error}");
        let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let counts = (&report["requests"], &report["errors"]);
        assert_eq!(counts, (&200.into(), &0.into()), "{out}");
    }
    // Transactions put only where there is something; so all keys were written.
    let found = Command::new(env!("CARGO_BIN_EXE_kvctl"))
        .args(["--v3", "--command-timeout", "60s", "get", "/kvctl-bench/"])
        .args(["--prefix", "--count-only"])
        .env("KVCTL_ENDPOINTS", &etcd.url)
        .output()
        .expect("kvctl runs");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "50\n");
    let line = "bench grpc-watch --connections 3 --watchers 301 --requests 5 -o json";
    let (out, error, code) = output(&etcd, line);
    assert_eq!(code, Some(0), "{error}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let counts = (&report["rounds"], &report["watchers"], &report["errors"]);
    assert_eq!(counts, (&5.into(), &301.into(), &0.into()), "{out}");
}

#[test]
fn load_counts_refusals() {
    let etcd = Etcd::start();
    output(&etcd, "set /kvctl-bench file");
    let (out, _, _) = output(&etcd, "bench put --requests 10 -o json");
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&report["requests"], &report["errors"]),
        (&0.into(), &10.into()),
        "{out}"
    );
    assert!(
        report["first_error"]
            .as_str()
            .is_some_and(|text| text.contains("Not a directory"))
    );
}

#[test]
fn backups_are_for_kvd() {
    let etcd = Etcd::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let (_, error, code) = output(&etcd, &format!("backup {}", file.display()));
    assert_eq!(code, Some(1));
    assert!(error.contains("not kvd"), "{error}");
    assert!(!file.exists());
    let (_, error, code) = output(&etcd, "restore file --data-dir x");
    assert_eq!(code, Some(1));
    assert!(error.contains("kvd restore"), "{error}");
}

/// A server that gives the same answer to everything.
fn fake_server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = [0; 4096];
            let _read = stream.read(&mut bytes);
            let _written = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn backups_are_whole_or_not_there() {
    const WHOLE: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let backup = |port: u16| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvctl"));
        command.args([
            "--no-sync",
            "--endpoints",
            &format!("http://127.0.0.1:{port}"),
            "backup",
        ]);
        command.arg(&file).output().expect("kvctl runs")
    };
    let cut = backup(fake_server(&WHOLE[..WHOLE.len() - 6]));
    assert_eq!(cut.status.code(), Some(1));
    let left = std::fs::read_dir(folder.path())
        .expect("the folder")
        .count();
    assert_eq!(left, 0, "nothing of a backup that broke off is left");

    assert!(backup(fake_server(WHOLE)).status.success());
    assert_eq!(std::fs::read(&file).expect("the backup"), b"abcde");
    let mode = std::fs::metadata(&file)
        .expect("the backup")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        backup(fake_server(WHOLE)).status.code(),
        Some(1),
        "none is overwritten"
    );
}

#[test]
fn help_names_every_command() {
    let etcd = Etcd::start();
    let help = output(&etcd, "--help").0;
    let script = output(&etcd, "completions bash").0;
    // What the completions know is what there is.
    let commands = script
        .lines()
        .filter_map(|line| line.trim().strip_prefix("kvctl,")?.strip_suffix(')'))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert!(commands.len() > 20, "{script}");
    for command in commands {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command} in {help}"
        );
    }
}

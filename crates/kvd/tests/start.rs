//! The program as it is started: mistakes end it with one line and the right code, systemd is told
//! when it is ready, and a signal ends it.

mod program;

use std::net::TcpListener;
use std::process::{Command, Output};

use program::{Running, free_port, kvd};

/// Runs until it ends by itself.
fn run(command: &mut Command) -> Output {
    command.output().expect("it runs")
}

/// Fails if it did not end with this code and one line on standard error that has all parts.
fn assert_refused(output: &Output, code: i32, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("kvd: "), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_settings_end_it_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |words: &[&str], parts: &[&str]| {
        assert_refused(&run(&mut kvd(folder.path(), words)), 2, parts);
    };
    refused(&["--nmae=a"], &["--nmae", "--name"]);
    refused(&["--election-timeout=soon"], &["--election-timeout=soon"]);
    refused(
        &["--initial-cluster=b=http://127.0.0.1:1"],
        &["not listed", "--name"],
    );
    refused(&["--config-file=absent.toml"], &["absent.toml"]);
    std::fs::write(folder.path().join("k.toml"), "name = \"a\"\ncolour = 1\n").unwrap();
    refused(&["--config-file=k.toml"], &["k.toml:2", "colour"]);

    let mut by_variable = kvd(folder.path(), &[]);
    by_variable.env("ETCD_CONFIG_FILE", "k.toml");
    assert_refused(&run(&mut by_variable), 2, &["k.toml:2", "colour"]);
    let mut by_variable = kvd(folder.path(), &[]);
    by_variable.env("ETCD_HEARTBEAT_INTERVAL", "fast");
    let parts = ["ETCD_HEARTBEAT_INTERVAL=fast", "whole number"];
    assert_refused(&run(&mut by_variable), 2, &parts);
}

#[test]
fn what_is_not_there_or_in_use_ends_it_with_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let url = format!("--listen-client-urls=https://127.0.0.1:{port}");
    let words = [&*url, "--cert-file=absent.pem", "--key-file=absent.key"];
    assert_refused(&run(&mut kvd(folder.path(), &words)), 1, &["absent.pem"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let flag = format!("--listen-client-urls={url}");
    let parts = [&*url, "--listen-client-urls", "in use"];
    assert_refused(&run(&mut kvd(folder.path(), &[&flag])), 1, &parts);

    std::fs::write(folder.path().join("file"), "").unwrap();
    let parts = ["file", "--data-dir"];
    let output = run(&mut kvd(folder.path(), &["--data-dir=file"]));
    assert_refused(&output, 1, &parts);
}

#[test]
fn systemd_is_told_and_signals_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("--listen-client-urls=http://127.0.0.1:{}", free_port());
    let words = [
        &*url,
        "--proxy=on",
        "--initial-cluster=a=http://127.0.0.1:1",
    ];
    let mut command = kvd(folder.path(), &words);
    let running = Running::start(&mut command, folder.path());
    running.wait_for("READY=1");

    // A second process finds the folder in use.
    let other = format!("--listen-client-urls=http://127.0.0.1:{}", free_port());
    let second = run(&mut kvd(folder.path(), &[&other, words[1], words[2]]));
    assert_refused(&second, 1, &["default.kvd", "in use"]);

    running.signal("HUP");
    running.wait_for("RELOADING=1");
    running.wait_for("READY=1");
    assert_eq!(running.end(), Some(0));
}

#[test]
fn help_version_and_completions_go_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    for (words, part) in [
        (&["--help"][..], "--initial-cluster"),
        (&["-version"], "kvd "),
        (&["completions", "bash"], "complete"),
    ] {
        let output = run(&mut kvd(folder.path(), words));
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(part), "{words:?}: {text}");
        assert!(output.stderr.is_empty());
    }
}

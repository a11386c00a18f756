//! The program as it is started: mistakes end it with one line and the right code, and settings can be
//! judged without starting.

use std::path::Path;
use std::process::{Command, Output};

fn fleetd(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetd"));
    command
        .args(words)
        .env_clear()
        .env("FLEET_CONFIG", folder.join("fleet.toml"))
        .current_dir(folder);
    command.output().expect("it runs")
}

fn with_settings(text: &str, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("fleet.toml"), text).expect("written");
    fleetd(folder.path(), words)
}

fn assert_refused(output: &Output, code: i32, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
}

#[test]
fn good_settings_are_called_good() {
    let text = "metadata = { disk = \"ssd\" }\nagent-ttl = \"10s\"\nenable-grpc = true\n";
    let output = with_settings(text, &["check-config"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"The settings are good.\n");
    let warning = String::from_utf8_lossy(&output.stderr);
    assert!(
        warning.contains("fleet.toml:3: enable-grpc=true has no effect"),
        "{warning}"
    );
}

#[test]
fn wrong_settings_end_it_with_code_2() {
    let rows: [(&str, &[&str], &[&str]); 5] = [
        ("metadta = \"a=b\"\n", &[], &["fleet.toml:1: metadta"]),
        (
            "\nagent-ttl = \"soon\"\n",
            &["check-config"],
            &["fleet.toml:2: agent-ttl=soon", "30s"],
        ),
        (
            "listen = \"0.0.0.0:49153\"\n",
            &[],
            &["listen", "mutual TLS", "tls-cafile"],
        ),
        ("", &["--agent-tll=3s"], &["--agent-tll"]),
        ("", &["--config", "absent.toml"], &["absent.toml"]),
    ];
    for (text, words, parts) in rows {
        assert_refused(&with_settings(text, words), 2, parts);
    }
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let text =
        "tls-cafile = \"/nonexistent/ca.pem\"\ntls-certfile = \"/a\"\ntls-keyfile = \"/b\"\n";
    assert_refused(
        &with_settings(text, &["check-config"]),
        1,
        &["/nonexistent/ca.pem"],
    );
}

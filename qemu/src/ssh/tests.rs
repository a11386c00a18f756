//! Tests of SSH with a stand-in for the `ssh` program; the real one needs a guest with a server.

use super::*;
use crate::console::ConsoleFiles;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

struct Fixture {
    ssh: Ssh,
    guest: Option<UnixStream>,
    /// Held for its files.
    _parent: tempfile::TempDir,
}

/// An [`Ssh`] whose program is the shell script `script`, run with `ssh`'s arguments.
fn fixture(script: &str) -> Fixture {
    let parent = tempfile::tempdir().unwrap();
    let program = parent.path().join("ssh");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let (ours, guest) = UnixStream::pair().unwrap();
    let files = ConsoleFiles {
        machine: "scripted".to_owned(),
        log: parent.path().join("console.log"),
        messages: parent.path().join("qemu.log"),
        tolerated: Vec::new(),
    };
    let (console, _) = Console::capture(ours, files).unwrap();
    let key = SshKey::generate(parent.path()).unwrap();
    let mut ssh = Ssh::new(&key, "root", 2222, console);
    ssh.program = program;
    Fixture {
        ssh,
        guest: Some(guest),
        _parent: parent,
    }
}

#[test]
fn key_is_ed25519_and_goes_with_its_last_user() {
    let parent = tempfile::tempdir().unwrap();
    let key = SshKey::generate(parent.path()).unwrap();
    assert!(key.public_line().starts_with("ssh-ed25519 AAAA"));
    let path = key.directory.path().to_owned();
    assert!(path.join(KEY_NAME).exists());
    drop(key);
    assert!(!path.exists());
}

#[test]
fn connecting_is_tried_until_it_works() {
    // Fails twice, then behaves as a master does: makes its socket and stays.
    let script = "echo x >>attempts; [ $(wc -l <attempts) -lt 3 ] && exit 255; \
                  touch control-root-2222; exec sleep 600";
    let mut fixture = fixture(script);
    fixture.ssh.wait_ready(Duration::from_mins(1)).unwrap();
    let attempts = fs::read_to_string(fixture.ssh.file("attempts")).unwrap();
    assert_eq!(attempts.lines().count(), 3);
}

#[test]
fn failure_to_connect_says_what_ssh_said() {
    let mut fixture = fixture("echo 'Permission denied (publickey).' >&2; exit 255");
    let error = fixture.ssh.wait_ready(Duration::from_secs(2));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("root@127.0.0.1:2222"), "{message}");
    assert!(message.contains("Permission denied"), "{message}");
}

#[test]
fn end_of_the_machine_ends_the_wait() {
    let mut fixture = fixture("exit 255");
    fixture.guest = None;
    let error = fixture.ssh.wait_ready(Duration::from_mins(10)).unwrap_err();
    assert!(error.to_string().contains("the machine ended"), "{error}");
}

#[test]
fn command_is_one_argument_and_its_result_arrives() {
    let fixture = fixture("for last; do :; done; eval \"$last\"");
    let output = fixture.ssh.run("echo 'a  b'; echo e >&2; exit 3").unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("a  b\n", "e\n")
    );
    assert_eq!(fixture.ssh.run_ok("echo fine").unwrap(), "fine\n");
    let error = fixture.ssh.run_ok("echo wrong >&2; false").unwrap_err();
    assert!(error.to_string().contains("wrong"), "{error}");
    let error = fixture.ssh.run("exit 255").unwrap_err();
    assert!(matches!(error, QemuError::CommandFailed { .. }));
}

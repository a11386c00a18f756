//! `fleetctl` on this host reaches the fleet through a booted machine's SSH server. No test of its own.
//!
//! The key is held by an agent that ends with the command; nothing is asked on a terminal, since there is none.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::cluster::Member;

/// Gives an agent two keys, then becomes the command after them.
const WITH_KEYS: &str = "ssh-add -q \"$1\" \"$2\" && shift 2 && exec \"$@\"";

/// The program that was built with the tests, or the one that the variable names.
fn fleetctl() -> PathBuf {
    if let Some(path) = std::env::var_os("FLEETCTL_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("this test program");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps");
    let path = folder.join("fleetctl");
    assert!(path.exists(), "build it: cargo build --package fleetctl");
    path
}

/// Somebody at this host: what they have seen of hosts' keys, and how they are asked.
struct User<'a> {
    through: &'a Member,
    behind: &'a Member,
    folder: PathBuf,
}

/// Who answers when `ssh` asks whether a host's key is the right one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Nobody: there is neither a terminal nor a display.
    Nobody,
    /// A program that says yes.
    Program,
}

/// An unknown host is refused unless somebody accepts its key, which is asked once; then commands reach the
/// fleet, and machines behind the tunnel.
pub(crate) fn the_fleet_is_reached_by_ssh(through: &Member, behind: &Member) {
    let user = User::new(through, behind);
    let list = ["list-machines", "--full", "--no-legend"];
    let refused = user.run(Asked::Nobody, &list);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && words.contains("Host key verification failed"),
        "{words}"
    );
    assert_eq!(user.questions(), 0, "a program was asked unbidden");

    user.succeeds(Asked::Program, &list);
    assert_eq!(user.questions(), 1);
    let machines = user.succeeds(Asked::Nobody, &list);
    assert!(machines.contains(&behind.id), "{machines}");

    let there = ["ssh", "--machine", &behind.id, "hostname; exit 7"];
    let refused = user.run(Asked::Nobody, &there);
    assert_eq!(
        refused.status.code(),
        Some(255),
        "the key behind is unknown"
    );
    let ended = user.run(Asked::Program, &there);
    assert_eq!(ended.status.code(), Some(7), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), behind.name);
}

impl<'a> User<'a> {
    fn new(through: &'a Member, behind: &'a Member) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = through.bench.folder.path().join("user");
        std::fs::create_dir(&folder).expect("a folder");
        let program = folder.join("answer");
        let log = folder.join("questions");
        let text = format!("#!/bin/sh\necho asked >>'{}'\necho yes\n", log.display());
        std::fs::write(&program, text).expect("written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("executable");
        Self {
            through,
            behind,
            folder,
        }
    }

    fn run(&self, asked: Asked, words: &[&str]) -> Output {
        let port = self.through.running.host_port(22);
        let port = port.expect("port 22 is forwarded");
        let mut command = Command::new("setsid");
        command
            .args([
                "--wait",
                "timeout",
                "300",
                "ssh-agent",
                "sh",
                "-c",
                WITH_KEYS,
                "sh",
            ])
            .args([self.through, self.behind].map(|member| member.bench.key.path()))
            .arg(fleetctl())
            .args(["--tunnel", &format!("127.0.0.1:{port}")])
            .args(["--ssh-username", "root", "--ssh-timeout", "60"])
            .args(["--request-timeout", "60", "--known-hosts-file"])
            .arg(self.folder.join("known_hosts"))
            .args(words)
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env("SSH_ASKPASS", self.folder.join("answer"));
        match asked {
            Asked::Nobody => command.env_remove("SSH_ASKPASS_REQUIRE"),
            Asked::Program => command.env("SSH_ASKPASS_REQUIRE", "force"),
        };
        command.output().expect("setsid and ssh-agent run")
    }

    fn succeeds(&self, asked: Asked, words: &[&str]) -> String {
        let ended = self.run(asked, words);
        assert!(ended.status.success(), "{words:?}: {ended:?}");
        String::from_utf8(ended.stdout).expect("UTF-8")
    }

    fn questions(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.join("questions"));
        log.unwrap_or_default().lines().count()
    }
}

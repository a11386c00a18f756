//! Release directories for machines under test, a web server for them, and what a machine does with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keelson_qemu::Running;
use keelson_qemu::ssh::{Output, Ssh};
use release_build::serve::{Log, Server};
use serde_json::Value;

use crate::support::{Bench, HEALTHY, builder, checkout, output};

/// Newer than every build without a version of its own.
pub(crate) const NEXT: &str = "0.1.2";
/// The host's loopback, as QEMU's user network shows it to the guest.
const HOST: &str = "10.0.2.2";
/// Of one run of the updater, in software emulation on a busy machine.
pub(crate) const UPDATE_TIMEOUT: Duration = Duration::from_mins(10);

/// A release directory, with keys of its own.
pub(crate) struct Releases {
    folder: PathBuf,
}

impl Releases {
    /// An empty one, and the keys of a stranger.
    pub(crate) fn new(folder: &Path) -> Self {
        let releases = Self {
            folder: folder.to_owned(),
        };
        for keys in ["keys", "strangers-keys"] {
            releases.keelson(&["keys", "create", "--keys", keys]);
        }
        releases
    }

    /// Releases a built image in channel `edge`. `deltas` is from how many earlier ones there are static deltas.
    pub(crate) fn release(&self, image: &Path, deltas: u32) {
        let lock = checkout().join("image/packages.lock");
        let deltas = deltas.to_string();
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (image, lock) = (text(image), text(&lock));
        let fixed = [
            "release",
            "www",
            "--keys",
            "keys",
            "--channel",
            "edge",
            "--level",
            "3",
        ];
        let given = ["--image", &image, "--lock", &lock, "--deltas", &deltas];
        self.keelson(&[&fixed[..], &given[..]].concat());
    }

    fn keelson(&self, arguments: &[&str]) {
        let result = Command::new(builder())
            .current_dir(&self.folder)
            .args(arguments)
            .output()
            .expect("the builder runs; `make image` builds it");
        assert!(
            result.status.success(),
            "keelson {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&result.stderr)
        );
    }

    pub(crate) fn root_of(&self, keys: &str) -> String {
        let path = self.folder.join(keys).join("1.root.json");
        std::fs::read_to_string(path).expect("the keys' root")
    }

    pub(crate) fn root_of_trust(&self) -> String {
        self.root_of("keys")
    }

    /// Serves until the test's process ends; says where, and how many bytes it sent.
    pub(crate) fn serve(&self) -> (SocketAddr, Arc<Mutex<u64>>) {
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let folder = self.folder.join("www");
        let server = Server::bind(&folder, address).expect("bound");
        let address = server.address().expect("an address");
        let sent = Arc::<Mutex<u64>>::default();
        let log: Log = {
            let sent = Arc::clone(&sent);
            Arc::new(move |_, _, bytes| *sent.lock().expect("unpoisoned") += bytes)
        };
        std::thread::spawn(move || server.run(&log));
        (address, sent)
    }
}

/// A server of this host as the guest calls it.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("http://{HOST}:{}", address.port())
}

/// Runs `osctl update` with these arguments, which hashes a whole slot and more, and returns what it prints.
pub(crate) fn update(ssh: &Ssh, arguments: &str) -> String {
    let output = try_update(ssh, arguments);
    assert!(output.status.success(), "{arguments}: {}", output.stderr);
    output.stdout
}

/// The same, which may fail.
pub(crate) fn try_update(ssh: &Ssh, arguments: &str) -> Output {
    let command = format!("osctl update {arguments}");
    let output = ssh.run_within(&command, UPDATE_TIMEOUT);
    output.unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn status(ssh: &Ssh) -> Value {
    serde_json::from_str(&output(ssh, "osctl status --json")).expect("JSON")
}

pub(crate) fn entries(ssh: &Ssh) -> String {
    output(ssh, "ls /efi/EFI/Linux")
}

/// What releases are trusted by, in the machine's configuration.
pub(crate) fn trust(ssh: &Ssh, root: &str) {
    assert!(!root.contains('\''), "it is quoted");
    let file = "/etc/keelson/update-root.json";
    let command = format!(
        "mkdir -p /etc/keelson && printf %s '{}' > {file}",
        root.trim()
    );
    output(ssh, &command);
}

/// Makes channel `edge` of these releases the machine's own, which only asks when it is told to.
pub(crate) fn subscribe(ssh: &Ssh, releases: &Releases, address: SocketAddr) {
    output(ssh, "systemctl stop keelson-update.timer");
    trust(ssh, &releases.root_of_trust());
    let settings = format!("sources = [\"{}\"]", url(address));
    output(
        ssh,
        &format!("echo '{settings}' > /etc/keelson/update.toml"),
    );
    output(ssh, "osctl channel edge");
}

/// Reboots, and waits until something is healthy again and the last update's outcome is known. That may take
/// several boots, so it waits for so long.
pub(crate) fn reboot(bench: &Bench, running: &Running, ssh: &Ssh, timeout: Duration) -> Ssh {
    let before = running.console().last_line_number();
    // The connection ends with the machine, so its status says nothing.
    let _ = ssh.run("systemctl reboot");
    let healthy = running.console().wait_after(before, HEALTHY, timeout);
    healthy.unwrap_or_else(|e| panic!("{e}"));
    let ssh = bench.ssh(running);
    wait_for_outcome(&ssh);
    ssh
}

/// The outcome of the last update is written down once this boot was judged.
pub(crate) fn wait_for_outcome(ssh: &Ssh) {
    output(
        ssh,
        "timeout 90 sh -c 'until systemctl -q is-active keelson-update-outcome.service; do sleep 1; done'",
    );
}

//! A machine updates itself from a web server, as the README walks through it, and goes back.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image_build::output::Manifest;
use keelson_qemu::Running;
use keelson_qemu::ssh::Ssh;
use release_build::serve::{Log, Server};
use serde_json::Value;

use crate::outcomes::{assert_in_state, assert_told, name_the_store};
use crate::support::{Bench, assert_clean, build, builder, image, output, power_off, wait_healthy};

/// Newer than every build without a version of its own.
const NEXT: &str = "0.1.2";
/// The host's loopback, as QEMU's user network shows it to the guest.
const HOST: &str = "10.0.2.2";
/// Of one run of the updater, in software emulation on a busy machine.
const UPDATE_TIMEOUT: Duration = Duration::from_mins(10);

#[test]
fn a_machine_updates_over_http_and_is_rolled_back() {
    let image = image();
    let bench = Bench::new(&image);
    let next = build(&["--version", NEXT], &bench.folder.path().join("next"));
    let releases = Releases::new(bench.folder.path(), &next);
    let (url, sent) = releases.serve();

    let running = bench.start(&bench.machine("update", bench.firmware()));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    nothing_of_it_stays_resident(&ssh);
    strangers_releases_are_refused(&ssh, &releases, &url);
    trust(&ssh, &releases.root_of_trust());
    name_the_store(&ssh);
    download_then_install(&ssh, &url, &sent);
    a_reboot_brings_the_new_version(&bench, &running, &ssh);

    let ssh = bench.ssh(&running);
    let before = running.console().last_line_number();
    let _ = ssh.run("osctl rollback");
    wait_healthy(&running, before);
    let ssh = bench.ssh(&running);
    assert_eq!(status(&ssh)["release"]["version"], image.version.as_str());
    let text = update(&ssh, &format!("--from {url}"));
    assert!(text.contains("rolled back by hand"), "{text}");
    assert_told(&ssh, NEXT, "cause", "by-hand");
    let history = output(&ssh, "osctl history");
    for event in ["downloaded", "installed", "is healthy", "is bad"] {
        assert!(history.contains(event), "{event}: {history}");
    }
    assert_clean(&running);
    power_off(running);
}

/// A release directory of one release, with keys of its own.
struct Releases {
    folder: PathBuf,
}

impl Releases {
    fn new(folder: &Path, image: &Manifest) -> Self {
        let releases = Self {
            folder: folder.to_owned(),
        };
        for keys in ["keys", "strangers-keys"] {
            releases.keelson(&["keys", "create", "--keys", keys]);
        }
        let described = folder.join(format!("next/keelson-{}.json", image.product));
        let described = described.to_str().expect("UTF-8");
        let lock = crate::support::checkout().join("image/packages.lock");
        let lock = lock.to_str().expect("UTF-8");
        releases.keelson(&[
            "release",
            "www",
            "--keys",
            "keys",
            "--channel",
            "edge",
            "--image",
            described,
            "--lock",
            lock,
            "--level",
            "3",
        ]);
        releases
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

    fn root_of(&self, keys: &str) -> String {
        let path = self.folder.join(keys).join("1.root.json");
        std::fs::read_to_string(path).expect("the keys' root")
    }

    fn root_of_trust(&self) -> String {
        self.root_of("keys")
    }

    /// Serves until the test's process ends; says where the guest finds it, and how many bytes it sent.
    fn serve(&self) -> (String, Arc<Mutex<u64>>) {
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(&self.folder.join("www"), address).expect("bound");
        let port = server.address().expect("an address").port();
        let sent = Arc::<Mutex<u64>>::default();
        let log: Log = {
            let sent = Arc::clone(&sent);
            Arc::new(move |_, _, bytes| *sent.lock().expect("unpoisoned") += bytes)
        };
        std::thread::spawn(move || server.run(&log));
        (format!("http://{HOST}:{port}"), sent)
    }
}

/// Runs `osctl update` with these arguments, which hashes a whole slot and more, and returns what it prints.
fn update(ssh: &Ssh, arguments: &str) -> String {
    let command = format!("osctl update {arguments}");
    let output = ssh.run_within(&command, UPDATE_TIMEOUT);
    let output = output.unwrap_or_else(|e| panic!("{e}"));
    assert!(output.status.success(), "{command}: {}", output.stderr);
    output.stdout
}

fn status(ssh: &Ssh) -> Value {
    serde_json::from_str(&output(ssh, "osctl status --json")).expect("JSON")
}

fn trust(ssh: &Ssh, root: &str) {
    assert!(!root.contains('\''), "it is quoted");
    let file = "/etc/keelson/update-root.json";
    let command = format!(
        "mkdir -p /etc/keelson && printf %s '{}' > {file}",
        root.trim()
    );
    output(ssh, &command);
}

fn nothing_of_it_stays_resident(ssh: &Ssh) {
    let found = output(ssh, "pgrep -l updaterd || true");
    assert_eq!(
        found, "",
        "updaterd runs although nobody asked for anything"
    );
    assert_eq!(
        output(ssh, "systemctl is-active keelson-update.timer"),
        "active"
    );
    let why = output(ssh, "osctl why");
    assert!(why.contains("no source of releases is configured"), "{why}");
}

fn strangers_releases_are_refused(ssh: &Ssh, releases: &Releases, url: &str) {
    trust(ssh, &releases.root_of("strangers-keys"));
    output(ssh, "osctl channel edge");
    let before = output(ssh, "ls /efi/EFI/Linux");
    let refused = ssh
        .run(&format!("osctl update --from {url}"))
        .expect("the guest answers");
    assert!(!refused.status.success(), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("metadata is not accepted"),
        "{}",
        refused.stderr
    );
    assert_eq!(output(ssh, "ls /efi/EFI/Linux"), before);
    let line = output(ssh, "cat /run/motd.d/60-keelson-update");
    assert!(line.contains("osctl why"), "{line}");
}

/// The second run finds all blocks in place.
fn download_then_install(ssh: &Ssh, url: &str, sent: &Mutex<u64>) {
    let bytes = || std::mem::take(&mut *sent.lock().expect("unpoisoned"));
    bytes();
    let found = update(ssh, &format!("--check --from {url}"));
    assert!(found.contains(NEXT), "{found}");
    let text = update(ssh, &format!("--download-only --from {url}"));
    assert!(text.contains(&format!("{NEXT} is downloaded")), "{text}");
    let entries = output(ssh, "ls /efi/EFI/Linux");
    assert!(!entries.contains(NEXT), "{entries}");
    let downloaded = bytes();
    let text = update(ssh, &format!("--from {url}"));
    assert!(text.contains(&format!("{NEXT} is installed")), "{text}");
    let installed = bytes();
    assert!(
        installed < downloaded,
        "{downloaded} bytes for the download, {installed} for the installation"
    );
    let entries = output(ssh, "ls /efi/EFI/Linux");
    assert!(
        entries.contains(&format!("keelson_{NEXT}+3.efi")),
        "{entries}"
    );
    assert_eq!(status(ssh)["update"]["state"], "staged");
    assert_in_state(ssh, "staged", NEXT);
}

fn a_reboot_brings_the_new_version(bench: &Bench, running: &Running, ssh: &Ssh) {
    let before = running.console().last_line_number();
    // The connection ends with the machine, so its status says nothing.
    let _ = ssh.run("systemctl reboot");
    wait_healthy(running, before);
    let ssh = bench.ssh(running);
    output(
        &ssh,
        "timeout 90 sh -c 'until systemctl -q is-active keelson-update-outcome.service; do sleep 1; done'",
    );
    let status = status(&ssh);
    assert_eq!(status["release"]["version"], NEXT, "{status:#}");
    assert_eq!(status["boot"]["slot"], "b", "{status:#}");
    assert_eq!(status["verification"]["state"], "verified", "{status:#}");
    assert_eq!(status["update"]["state"], "good", "{status:#}");
    assert_in_state(&ssh, "good", NEXT);
    assert_told(&ssh, NEXT, "outcome", "healthy");
    let failed = output(&ssh, "systemctl list-units --failed --no-legend --plain");
    assert_eq!(failed, "");
    output(
        &ssh,
        "timeout 60 sh -c 'until systemctl -q is-active systemd-bless-boot.service; do sleep 1; done'",
    );
}

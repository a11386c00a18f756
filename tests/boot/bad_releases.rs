//! A machine that must not take what it is offered: no room, releases that fail, a line that breaks, an updater
//! that is killed. It goes on with what it ran, and remembers what was bad.

use std::net::SocketAddr;
use std::time::Duration;

use image_build::output::Manifest;
use keelson_qemu::Running;
use keelson_qemu::ssh::Ssh;

use crate::broken_line::BrokenLine;
use crate::releases::{
    Releases, UPDATE_TIMEOUT, entries, reboot, status, subscribe, try_update, update, url,
};
use crate::support::{Bench, image, output, power_off, wait_healthy};
use crate::variants::Variant;

/// What the unhealthy release has that must be fetched.
const FETCHED_BYTES: usize = 24 << 20;
/// The line breaks after so many of them.
const BREAKS_AFTER: u64 = 5 << 20;
const KILLS: usize = 4;
/// Three boots that fail, and one that does not.
const FALL_BACK_TIMEOUT: Duration = Duration::from_mins(8);
/// What a boot that fails says of it.
const EXPECTED: [&str; 3] = [
    "keelson-init: failed",
    "keelson-health.service",
    "boot-complete.target",
];

#[test]
fn a_machine_without_room_goes_on_and_leaves_a_release_that_does_not_boot() {
    let machine = Subscribed::new("unbootable");
    let version = machine.offer("0.1.3", Variant::without_file_system);
    a_full_esp_is_refused(&machine.ssh);
    a_full_state_disk_changes_nothing(&machine.ssh);

    let text = update(&machine.ssh, "");
    assert!(text.contains(&format!("{version} is installed")), "{text}");
    let names = entries(&machine.ssh);
    assert!(
        names.contains(&format!("keelson_{version}+3.efi")),
        "{names}"
    );
    let machine = machine.falls_back(&version);
    let text = machine.running.console().text();
    assert_eq!(text.matches("keelson-init: failed").count(), 3, "{text}");
    power_off(machine.running);
}

/// Seven minutes by itself: with it CI would come near its limit.
#[test]
fn soak_a_machine_leaves_an_unhealthy_release_with_what_was_changed_under_it() {
    let machine = Subscribed::new("unhealthy");
    output(&machine.ssh, "echo before > /etc/marker");
    let version = machine.offer("0.1.4", |variant| {
        variant.unhealthy().longer_by(FETCHED_BYTES)
    });
    let line = BrokenLine::to(machine.address, BREAKS_AFTER);
    killed_and_cut_off_it_is_installed(&machine.ssh, &line, &version);
    let machine = machine.falls_back(&version);
    assert_eq!(output(&machine.ssh, "cat /etc/marker"), "before");
    power_off(machine.running);
}

/// A machine that takes its releases from a server of the test.
struct Subscribed {
    // Dropped before its disk's folder is removed.
    running: Running,
    ssh: Ssh,
    releases: Releases,
    address: SocketAddr,
    image: Manifest,
    bench: Bench,
}

impl Subscribed {
    fn new(name: &str) -> Self {
        let image = image();
        let bench = Bench::new(&image);
        let releases = Releases::new(bench.folder.path());
        let (address, _) = releases.serve();
        let mut machine = bench.machine(name, bench.firmware());
        machine.tolerated = EXPECTED.map(str::to_owned).to_vec();
        let running = bench.start(&machine);
        wait_healthy(&running, 0);
        let ssh = bench.ssh(&running);
        subscribe(&ssh, &releases, address);
        Self {
            running,
            ssh,
            releases,
            address,
            image,
            bench,
        }
    }

    /// Releases a variant of what the machine runs, newer than that, and says its version.
    fn offer(&self, number: &str, change: impl FnOnce(Variant) -> Variant) -> String {
        let own = &self.image.version;
        // Variants have versions of the same length.
        let version = format!("{number}{}", &own[number.len()..]);
        let variant = change(Variant::of(&self.image, &version));
        let folder = self.bench.folder.path().join("variant");
        self.releases.release(&variant.write(&folder), 0);
        version
    }

    /// Three boots of what was installed fail, the fourth is what ran before, and remembers the other.
    fn falls_back(self, bad: &str) -> Self {
        let ssh = reboot(&self.bench, &self.running, &self.ssh, FALL_BACK_TIMEOUT);
        output(&ssh, "systemctl stop keelson-update.timer");
        let status = status(&ssh);
        assert_eq!(status["release"]["version"], self.image.version.as_str());
        assert_eq!(status["update"]["state"], "bad", "{status:#}");
        let names = entries(&ssh);
        assert!(names.contains(&format!("keelson_{bad}+0-3.efi")), "{names}");
        let text = update(&ssh, "");
        assert!(
            text.contains(bad) && text.contains("did not come up healthy"),
            "{text}"
        );
        let why = output(&ssh, "osctl why");
        assert!(
            why.contains(bad) && why.contains("osctl update --retry"),
            "{why}"
        );
        let history = output(&ssh, "osctl history");
        assert!(history.contains(&format!("{bad} is bad")), "{history}");
        Self { ssh, ..self }
    }
}

fn a_full_esp_is_refused(ssh: &Ssh) {
    let before = entries(ssh);
    // FAT has no holes, so this writes it full; the shell's error is what was wanted.
    output(
        ssh,
        "head -c 1100M /dev/zero > /efi/filler 2>/dev/null || true",
    );
    let refused = try_update(ssh, "");
    assert!(!refused.status.success(), "{}", refused.stdout);
    assert!(refused.stderr.contains("the ESP has"), "{}", refused.stderr);
    assert_eq!(entries(ssh), before);
    output(ssh, "rm /efi/filler");
}

/// First with just enough room for the record of updates, then with none.
fn a_full_state_disk_changes_nothing(ssh: &Ssh) {
    let before = entries(ssh);
    let fill = "mkdir /state/fill; i=0; for size in 1000 100 10 1; do \
                while fallocate -l ${size}M /state/fill/$i 2>/dev/null; do i=$((i+1)); done; \
                rm -f /state/fill/$i; done";
    output(ssh, fill);
    let refused = try_update(ssh, "--download-only");
    assert!(!refused.status.success(), "{}", refused.stdout);
    let complaint = refused.stderr;
    assert!(complaint.contains("the state partition has"), "{complaint}");
    output(
        ssh,
        "head -c 2M /dev/zero > /state/fill/rest 2>/dev/null || true; sync",
    );
    let failed = try_update(ssh, "");
    assert!(!failed.status.success(), "{}", failed.stdout);
    assert!(failed.stderr.contains("No space left"), "{}", failed.stderr);
    assert_eq!(entries(ssh), before);
    output(ssh, "rm -r /state/fill");
}

/// Killed at random moments, over a line that breaks; then let be, over the same line.
fn killed_and_cut_off_it_is_installed(ssh: &Ssh, line: &BrokenLine, version: &str) {
    let source = url(line.address);
    let before = entries(ssh);
    for round in 0..KILLS {
        let seconds = fastrand::f64().mul_add(12.0, 2.0);
        let command = format!(
            "osctl update --download-only --from {source} & sleep {seconds:.2}; \
             pkill -9 -x updaterd; wait"
        );
        let killed = ssh.run_within(&command, UPDATE_TIMEOUT);
        killed.unwrap_or_else(|e| panic!("killed after {seconds} s, round {round}: {e}"));
        let names = entries(ssh);
        assert!(!names.contains(version), "{before} became {names}");
    }
    let text = update(ssh, &format!("--from {source}"));
    assert!(text.contains(&format!("{version} is installed")), "{text}");
    let (breaks, bytes) = (line.breaks(), line.bytes());
    assert!(breaks >= 3, "the line broke {breaks} times");
    // A frame for each connection that broke, one for each kill, the rest that is fetched each time, and what
    // was on its way into buffers that nobody read any more.
    let limit = FETCHED_BYTES as u64 * 3 / 2 + (KILLS as u64 + 1) * BREAKS_AFTER;
    assert!(bytes < limit, "{bytes} bytes came for {FETCHED_BYTES}");
}

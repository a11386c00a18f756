//! A machine that must not take what it is offered: no room, releases that fail, a line that breaks, an updater
//! that is killed. It goes on with what it ran, and remembers what was bad.

use std::time::Duration;

use image_build::output::Manifest;
use keelson_qemu::Running;
use keelson_qemu::ssh::Ssh;

use crate::broken_line::BrokenLine;
use crate::releases::{
    NEXT, Releases, UPDATE_TIMEOUT, entries, reboot, status, subscribe, try_update, update, url,
};
use crate::support::{Bench, build, image, output, power_off, wait_healthy};
use crate::variants::Variant;

const UNBOOTABLE: &str = "0.1.3";
const UNHEALTHY: &str = "0.1.4";
/// What the second has that must be fetched.
const FETCHED_BYTES: usize = 24 << 20;
/// The line breaks after so many of them.
const BREAKS_AFTER: u64 = 5 << 20;
const KILLS: usize = 4;
/// Three boots that fail, and one that does not.
const FALL_BACK_TIMEOUT: Duration = Duration::from_mins(8);

#[test]
fn a_machine_leaves_bad_releases_by_itself_and_remembers_them() {
    let image = image();
    let bench = Bench::new(&image);
    let folder = bench.folder.path();
    let next = build(&["--version", NEXT], &folder.join("next"));
    let releases = Releases::new(folder);
    let unbootable = Variant::of(&next, UNBOOTABLE).without_file_system();
    releases.release(&unbootable.write(&folder.join("unbootable")), 0);
    let (address, _) = releases.serve();

    let mut machine = bench.machine("bad-releases", bench.firmware());
    // What the releases that fail say of it.
    let expected = [
        "keelson-init: failed",
        "keelson-health.service",
        "boot-complete.target",
    ];
    machine.tolerated = expected.map(str::to_owned).to_vec();
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    subscribe(&ssh, &releases, address);
    output(&ssh, "echo before > /etc/marker");
    a_full_esp_is_refused(&ssh);
    a_full_state_disk_changes_nothing(&ssh);

    install(&ssh, UNBOOTABLE);
    let ssh = falls_back(&bench, &running, &ssh, &image, UNBOOTABLE);
    let text = running.console().text();
    assert_eq!(text.matches("keelson-init: failed").count(), 3, "{text}");

    let unhealthy = Variant::of(&next, UNHEALTHY)
        .unhealthy()
        .longer_by(FETCHED_BYTES);
    releases.release(&unhealthy.write(&folder.join("unhealthy")), 0);
    let line = BrokenLine::to(address, BREAKS_AFTER);
    killed_and_cut_off_it_is_installed(&ssh, &line);
    let ssh = falls_back(&bench, &running, &ssh, &image, UNHEALTHY);
    assert_eq!(output(&ssh, "cat /etc/marker"), "before");
    // The first is remembered as well.
    let bad = output(&ssh, "osctl history");
    assert!(bad.contains(&format!("{UNBOOTABLE} is bad")), "{bad}");
    power_off(running);
}

fn install(ssh: &Ssh, version: &str) {
    let text = update(ssh, "");
    assert!(text.contains(&format!("{version} is installed")), "{text}");
    let names = entries(ssh);
    assert!(
        names.contains(&format!("keelson_{version}+3.efi")),
        "{names}"
    );
}

/// Three boots of what was installed fail, the fourth is what ran before.
fn falls_back(bench: &Bench, running: &Running, ssh: &Ssh, old: &Manifest, bad: &str) -> Ssh {
    let ssh = reboot(bench, running, ssh, FALL_BACK_TIMEOUT);
    output(&ssh, "systemctl stop keelson-update.timer");
    let status = status(&ssh);
    assert_eq!(status["release"]["version"], old.version.as_str());
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
    ssh
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
fn killed_and_cut_off_it_is_installed(ssh: &Ssh, line: &BrokenLine) {
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
        assert!(!names.contains(UNHEALTHY), "{before} became {names}");
    }
    let text = update(ssh, &format!("--from {source}"));
    assert!(
        text.contains(&format!("{UNHEALTHY} is installed")),
        "{text}"
    );
    let (breaks, bytes) = (line.breaks(), line.bytes());
    assert!(breaks >= 3, "the line broke {breaks} times");
    // A frame for each connection that broke, one for each kill, the rest that is fetched each time, and what
    // was on its way into buffers that nobody read any more.
    let limit = FETCHED_BYTES as u64 * 3 / 2 + (KILLS as u64 + 1) * BREAKS_AFTER;
    assert!(bytes < limit, "{bytes} bytes came for {FETCHED_BYTES}");
}

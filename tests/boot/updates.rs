//! A machine updates itself from a web server, as the README walks through it, and goes back.

use std::sync::Mutex;

use keelson_qemu::Running;
use keelson_qemu::ssh::Ssh;

use crate::outcomes::{assert_in_state, assert_told, name_the_store};
use crate::releases::{NEXT, Releases, entries, reboot, status, trust, try_update, update, url};
use crate::support::{
    BOOT_TIMEOUT, Bench, assert_clean, build, image, output, power_off, wait_healthy,
};

#[test]
fn a_machine_updates_over_http_and_is_rolled_back() {
    let image = image();
    let bench = Bench::new(&image);
    let folder = bench.folder.path();
    build(&["--version", NEXT], &folder.join("next"));
    let releases = Releases::new(folder);
    let described = format!("next/keelson-{}.json", image.product);
    releases.release(&folder.join(described), 0);
    let (address, sent) = releases.serve();
    let url = url(address);

    let running = bench.start(&bench.machine("update", bench.firmware()));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    nothing_of_it_stays_resident(&ssh);
    strangers_releases_are_refused(&ssh, &releases, &url);
    trust(&ssh, &releases.root_of_trust());
    name_the_store(&ssh);
    download_then_install(&ssh, &url, &sent);
    output(&ssh, "echo before > /etc/marker");
    let ssh = a_reboot_brings_the_new_version(&bench, &running, &ssh);
    assert_eq!(output(&ssh, "cat /etc/marker"), "before");
    output(&ssh, "echo after > /etc/marker && sync");

    let before = running.console().last_line_number();
    output(&ssh, "osctl rollback --no-reboot");
    assert_told(&ssh, NEXT, "cause", "by-hand");
    let _ = ssh.run("systemctl reboot");
    wait_healthy(&running, before);
    let ssh = bench.ssh(&running);
    assert_eq!(status(&ssh)["release"]["version"], image.version.as_str());
    assert_eq!(
        output(&ssh, "cat /etc/marker"),
        "before",
        "configuration goes back with its system"
    );
    let text = update(&ssh, &format!("--from {url}"));
    assert!(text.contains("rolled back by hand"), "{text}");
    let history = output(&ssh, "osctl history");
    for event in ["downloaded", "installed", "is healthy", "is bad"] {
        assert!(history.contains(event), "{event}: {history}");
    }
    assert_clean(&running);
    power_off(running);
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
    let before = entries(ssh);
    let refused = try_update(ssh, &format!("--from {url}"));
    assert!(!refused.status.success(), "{}", refused.stdout);
    assert!(
        refused.stderr.contains("metadata is not accepted"),
        "{}",
        refused.stderr
    );
    assert_eq!(entries(ssh), before);
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
    assert!(!entries(ssh).contains(NEXT), "{}", entries(ssh));
    let downloaded = bytes();
    let text = update(ssh, &format!("--from {url}"));
    assert!(text.contains(&format!("{NEXT} is installed")), "{text}");
    let installed = bytes();
    assert!(
        installed < downloaded,
        "{downloaded} bytes for the download, {installed} for the installation"
    );
    let entries = entries(ssh);
    // Or else a power cut soon after leaves an entry that was renamed empty: `power_cuts` sees it.
    let mounted = output(ssh, "grep ' /efi vfat ' /proc/mounts");
    assert!(mounted.contains("dirsync"), "{mounted}");
    assert!(
        entries.contains(&format!("keelson_{NEXT}+3.efi")),
        "{entries}"
    );
    assert_eq!(status(ssh)["update"]["state"], "staged");
    assert_in_state(ssh, "staged", NEXT);
}

fn a_reboot_brings_the_new_version(bench: &Bench, running: &Running, ssh: &Ssh) -> Ssh {
    let ssh = reboot(bench, running, ssh, BOOT_TIMEOUT);
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
    ssh
}

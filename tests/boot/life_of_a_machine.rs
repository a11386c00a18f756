//! One machine from its first boot over a reboot and an update to a failed update, through UEFI.

use keelson_qemu::Running;
use keelson_qemu::ssh::{Ssh, SshKey};
use serde_json::Value;

use crate::installed::InstalledDisk;
use crate::support::{
    BOOT_TIMEOUT, Bench, DISK_BYTES, assert_clean, build, image, output, power_off, wait_healthy,
};

#[test]
fn a_machine_boots_keeps_its_state_updates_and_falls_back() {
    let image = image();
    let bench = Bench::new(&image);
    first_boot_and_reboot(&bench, &image.version);

    let folder = bench.folder.path().join("next");
    let next = build(&["--version", "0.1.1"], &folder);
    InstalledDisk::open(&bench.disk).install_in_slot_b(&next);
    boot_from_slot_b(&bench);

    InstalledDisk::open(&bench.disk).record_failed_boots(&next, 5);
    a_blessed_version_that_keeps_failing_gives_way(&bench, &image.version);

    let disk = InstalledDisk::open(&bench.disk);
    disk.count_entry("0.1.1");
    disk.wipe("root-b-verity", 4096);
    drop(disk);
    three_failed_boots_land_in_slot_a(&bench, &image.version);
}

fn first_boot_and_reboot(bench: &Bench, version: &str) {
    let mut machine = bench.machine("first-boot", bench.firmware());
    // As a machine of a user has it.
    machine.cpus = 2;
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    wait_for_blessing(&ssh);
    no_unit_failed(&ssh);
    status_says(&ssh, "a", version);
    the_root_cannot_be_written(&ssh);
    state_has_grown(&ssh);
    nothing_of_a_package_manager_is_there(&ssh);
    the_network_is_configured(&ssh);
    containers_start_on_demand(&ssh);
    strangers_are_refused(bench, &running);
    the_console_has_a_shell(&running);
    assert_clean(&running);

    output(
        &ssh,
        "echo changed > /etc/motd && echo kept > /var/lib/kept && sync",
    );
    let identity = output(
        &ssh,
        "cat /etc/machine-id /state/shared/ssh/ssh_host_ed25519_key.pub",
    );
    let before = running.console().last_line_number();
    // The connection ends with the machine, so its status says nothing.
    let _ = ssh.run("systemctl reboot");
    wait_healthy(&running, before);
    let ssh = bench.ssh(&running);
    assert_eq!(output(&ssh, "cat /etc/motd /var/lib/kept"), "changed\nkept");
    let again = output(
        &ssh,
        "cat /etc/machine-id /state/shared/ssh/ssh_host_ed25519_key.pub",
    );
    assert_eq!(again, identity, "a machine keeps its identity");
    assert_eq!(
        output(&ssh, "ls /efi/EFI/Linux"),
        format!("keelson_{version}.efi")
    );
    no_unit_failed(&ssh);
    assert_clean(&running);
    power_off(running);
}

fn wait_for_blessing(ssh: &Ssh) {
    let command = "timeout 60 sh -c 'until systemctl -q is-active systemd-bless-boot.service; do sleep 1; done'";
    output(ssh, command);
    let entries = output(ssh, "ls /efi/EFI/Linux");
    assert!(
        !entries.contains('+'),
        "the entry was not blessed: {entries}"
    );
}

fn no_unit_failed(ssh: &Ssh) {
    assert_eq!(
        output(ssh, "systemctl list-units --failed --no-legend --plain"),
        ""
    );
    assert_eq!(
        output(ssh, "systemctl is-active boot-complete.target"),
        "active"
    );
}

fn status_says(ssh: &Ssh, slot: &str, version: &str) {
    let text = output(ssh, "osctl status");
    assert!(text.contains(version), "{text}");
    let json: Value = serde_json::from_str(&output(ssh, "osctl status --json")).expect("JSON");
    assert_eq!(json["boot"]["slot"], slot, "{json:#}");
    assert_eq!(json["release"]["version"], version, "{json:#}");
    assert_eq!(json["verification"]["state"], "verified", "{json:#}");
}

fn the_root_cannot_be_written(ssh: &Ssh) {
    for command in ["touch /usr/x", "mount -o remount,rw /", "rm /usr/bin/osctl"] {
        let result = ssh.run(command).expect("the guest answers");
        assert!(!result.status.success(), "{command} worked");
    }
    let complaint = ssh.run("touch /usr/x").expect("the guest answers").stderr;
    assert!(complaint.contains("Read-only file system"), "{complaint}");
}

fn state_has_grown(ssh: &Ssh) {
    let bytes: u64 = output(ssh, "df --output=size -B1 /state | tail -n 1")
        .parse()
        .expect("a number");
    assert!(
        bytes > DISK_BYTES / 2,
        "state has {bytes} bytes on a disk of {DISK_BYTES}"
    );
}

fn nothing_of_a_package_manager_is_there(ssh: &Ssh) {
    let found = output(
        ssh,
        "for p in dpkg apt apt-get perl python3; do command -v $p || true; done",
    );
    assert_eq!(found, "");
}

fn the_network_is_configured(ssh: &Ssh) {
    assert!(output(ssh, "networkctl --no-pager status").contains("routable"));
    assert!(output(ssh, "cat /etc/resolv.conf").contains("nameserver 127.0.0.53"));
}

fn containers_start_on_demand(ssh: &Ssh) {
    assert_eq!(
        ssh.run("systemctl is-active containerd")
            .expect("an answer")
            .stdout
            .trim(),
        "inactive"
    );
    // An HTTP/2 preface is what a gRPC client sends first; a server answers with its settings.
    let connect = "printf 'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\0\\0\\0\\4\\0\\0\\0\\0\\0' | \
                   timeout 60 curl --silent --max-time 50 --unix-socket /run/containerd/containerd.sock \
                   --http2-prior-knowledge http://localhost/ --output /dev/null --write-out '%{http_version}'";
    let _ = ssh.run(connect);
    output(
        ssh,
        "timeout 60 sh -c 'until systemctl -q is-active containerd; do sleep 1; done'",
    );
}

fn strangers_are_refused(bench: &Bench, running: &Running) {
    let stranger = SshKey::generate(bench.folder.path()).expect("ssh-keygen works");
    let ssh = running
        .ssh(&stranger, "root")
        .expect("port 22 is forwarded");
    // Once only: sshd soon stops answering an address whose keys it does not know.
    let error = ssh.run("true").expect_err("the key is not authorized");
    assert!(
        error.to_string().contains("Permission denied (publickey)"),
        "{error}"
    );
}

fn the_console_has_a_shell(running: &Running) {
    let console = running.console();
    let before = console.last_line_number();
    console
        .write(b"\necho shell-$((6 * 7))\n")
        .expect("the console takes input");
    console
        .wait_after(before, "shell-42", BOOT_TIMEOUT)
        .unwrap_or_else(|e| panic!("{e}"));
}

fn boot_from_slot_b(bench: &Bench) {
    let running = bench.start(&bench.machine("slot-b", bench.firmware()));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    wait_for_blessing(&ssh);
    status_says(&ssh, "b", "0.1.1");
    assert_eq!(
        output(&ssh, "cat /etc/motd"),
        "changed",
        "configuration goes along"
    );
    no_unit_failed(&ssh);
    assert_clean(&running);
    power_off(running);
}

/// Slot b is newer and blessed, and would be booted for ever.
fn a_blessed_version_that_keeps_failing_gives_way(bench: &Bench, version: &str) {
    let running = bench.start(&bench.machine("demotion", bench.firmware()));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    status_says(&ssh, "a", version);
    let entries = output(&ssh, "ls /efi/EFI/Linux");
    assert!(entries.contains("keelson_0.1.1+0.efi"), "{entries}");
    power_off(running);
}

/// The entry of slot b has its three tries again, but its hash tree is gone.
fn three_failed_boots_land_in_slot_a(bench: &Bench, version: &str) {
    let mut machine = bench.machine("fallback", bench.firmware());
    machine.tolerated = vec!["keelson-init: failed".to_owned()];
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    status_says(&ssh, "a", version);
    let failures = running
        .console()
        .text()
        .matches("keelson-init: failed")
        .count();
    assert_eq!(failures, 3, "the console: {}", running.console().text());
    let entries = output(&ssh, "ls /efi/EFI/Linux");
    assert!(entries.contains("keelson_0.1.1+0-3.efi"), "{entries}");
    power_off(running);
}

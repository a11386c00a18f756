//! A machine is reset, keeping some and then nothing, and is healthy after it; also if the power fails.

use std::time::Duration;

use disk_format::meta::{Identity, Kept, ResetOrder};
use image_build::output::copy_sparse;
use keelson_qemu::ssh::Ssh;
use keelson_qemu::{Disk, DiskInterface, Running};
use serde_json::Value;

use crate::installed::InstalledDisk;
use crate::interfaces::assert_booted_directly_from;
use crate::support::{BOOT_TIMEOUT, Bench, assert_clean, image, output, power_off, wait_healthy};

const IDENTITY: &str = "cat /etc/machine-id /state/shared/ssh/ssh_host_ed25519_key.pub";
/// The disk's and each partition's.
const IDENTIFIERS: &str = "lsblk --noheadings --output PTUUID,PARTUUID,PARTLABEL /dev/nvme0n1";
/// What is remembered of updates outlives a reset.
const SEEN: &str = "/var/lib/keelson/update/metadata/seen";
const BEGUN: &str = "keelson-init: resetting state";
/// Moments after a reset began at which the power is cut.
const CUT_AFTER_MILLISECONDS: [u64; 6] = [0, 30, 100, 300, 1_000, 3_000];

#[test]
fn a_machine_is_reset_and_keeps_what_it_was_told_to() {
    let bench = Bench::new(&image());
    let machine = bench.machine("reset", bench.direct());
    let running = bench.start(&bench.with_interface(machine, DiskInterface::Nvme));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    assert_booted_directly_from(&ssh, "nvme0n1");
    has_its_address_of_dhcp(&ssh);
    let hosts = output(&ssh, "cat /etc/hosts");
    use_the_machine(&ssh);
    nothing_is_ordered_unasked_or_for_nothing(&ssh);
    let before = [IDENTITY, IDENTIFIERS].map(|command| output(&ssh, command));

    let ssh = reset(
        &bench,
        &running,
        &ssh,
        "osctl reset --keep-identity --keep /var/lib/app/kept /etc/motd --yes --now",
    );
    assert_eq!(
        output(
            &ssh,
            "find /var/lib/app /home /root /srv /opt /usr/local -type f; cat /etc/motd"
        ),
        "/var/lib/app/kept/file\nchanged"
    );
    assert_eq!(output(&ssh, "cat /etc/hosts"), hosts);
    assert_eq!(output(&ssh, &format!("cat {SEEN}")), "seen");
    assert!(!output(&ssh, "osctl channel").contains("edge"));
    let after = [IDENTITY, IDENTIFIERS].map(|command| output(&ssh, command));
    assert_eq!(after, before);

    output(&ssh, "osctl reset --erase --yes");
    let file_system = output(&ssh, "findmnt --noheadings --output UUID /state");
    let ssh = reset(&bench, &running, &ssh, "systemctl reboot");
    assert_eq!(
        output(&ssh, "ls -A /var/lib/app /etc/motd 2>/dev/null || true"),
        ""
    );
    assert_eq!(
        output(&ssh, &format!("cat {SEEN} 2>&1 || true"))
            .matches("No such file")
            .count(),
        1
    );
    let after = [IDENTITY, IDENTIFIERS].map(|command| output(&ssh, command));
    assert_ne!(after[0], before[0], "it is another machine");
    assert_eq!(after[1], before[1], "the firmware may know the partitions");
    let anew = output(&ssh, "findmnt --noheadings --output UUID /state");
    assert_ne!(anew, file_system);
    assert_clean(&running);
    power_off(running);
}

/// The fleet has it, too, although it came after fleetd was started.
fn has_its_address_of_dhcp(ssh: &Ssh) {
    let address =
        "timeout 30 sh -c 'until fleetctl list-machines | grep -qw 10.0.2.15; do sleep 1; done'";
    output(ssh, address);
}

fn use_the_machine(ssh: &Ssh) {
    for command in [
        "mkdir -p /var/lib/app/kept && echo file > /var/lib/app/kept/file",
        "for d in /var/lib/app /home /root /srv /opt /usr/local; do echo gone > $d/gone; done",
        "echo changed > /etc/motd && echo 10.0.0.1 changed >> /etc/hosts",
        "touch /opt/marked && chattr +i /opt/marked",
        "osctl channel edge",
    ] {
        output(ssh, command);
    }
    let command = format!("mkdir -p $(dirname {SEEN}) && echo seen > {SEEN} && sync");
    output(ssh, &command);
}

fn nothing_is_ordered_unasked_or_for_nothing(ssh: &Ssh) {
    let refused = |arguments: &str, reason: &str| {
        let result = ssh
            .run(&format!("osctl reset {arguments} </dev/null"))
            .expect("the guest answers");
        assert!(!result.status.success(), "{arguments}: {}", result.stdout);
        assert!(result.stderr.contains(reason), "{}", result.stderr);
    };
    refused("", "nobody can be asked here");
    refused("--yes --keep /var/lib/ap", "it is not there");
    refused("--yes --keep /usr/bin", "not below one of");
    refused("--cancel", "no reset is ordered");
    assert_eq!(ordered(ssh)["state"], "none");
    output(ssh, "osctl reset --yes --keep /srv");
    let order = ordered(ssh);
    assert_eq!(order["state"], "ordered", "{order:#}");
    assert_eq!(order["keeps"][0], "/srv", "{order:#}");
    output(ssh, "osctl reset --cancel");
    assert_eq!(ordered(ssh)["state"], "none");
}

fn ordered(ssh: &Ssh) -> Value {
    let status = output(ssh, "osctl status --json");
    let status: Value = serde_json::from_str(&status).expect("JSON");
    status["reset"].clone()
}

/// Runs what leads to the reset, and looks at what every reset leaves.
fn reset(bench: &Bench, running: &Running, ssh: &Ssh, command: &str) -> Ssh {
    let before = running.console().last_line_number();
    // The connection ends with the machine, so its status says nothing.
    let _ = ssh.run(command);
    running
        .console()
        .wait_after(before, BEGUN, BOOT_TIMEOUT)
        .unwrap_or_else(|e| panic!("{e}"));
    wait_healthy(running, before);
    let ssh = bench.ssh(running);
    let facts = output(&ssh, "cat /run/keelson/boot.toml");
    assert!(facts.contains("first_boot = true"), "{facts}");
    assert_eq!(ordered(&ssh)["state"], "none");
    let failed = output(&ssh, "systemctl list-units --failed --no-legend --plain");
    assert_eq!(failed, "");
    ssh
}

/// Twenty thousand files take long to remove, and a file system is not made in a moment either.
#[test]
fn soak_power_cuts_during_a_reset_leave_it_done() {
    let bench = Bench::new(&image());
    let running = bench.start(&bench.machine("before-resets", bench.direct()));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    output(
        &ssh,
        "mkdir -p /var/lib/app/kept && echo file > /var/lib/app/kept/file",
    );
    let many =
        "for d in /srv/{1..200}; do mkdir $d; for f in $d/{1..100}; do : > $f; done; done; sync";
    let made = ssh.run_within(&format!("bash -c '{many}'"), BOOT_TIMEOUT);
    assert!(made.expect("the guest answers").status.success());
    power_off(running);
    for milliseconds in CUT_AFTER_MILLISECONDS {
        let kept = Kept {
            identity: Identity::Kept,
            paths: vec!["/var/lib/app/kept".parse().expect("a path of state")],
        };
        for order in [ResetOrder::Clear(kept), ResetOrder::Erase] {
            cut_during(&bench, milliseconds, &order);
        }
    }
}

fn cut_during(bench: &Bench, milliseconds: u64, order: &ResetOrder) {
    let name = format!("{order:?} cut after {milliseconds} ms");
    let disk = bench.folder.path().join("reset.raw");
    copy_sparse(&bench.disk, &disk).expect("the disk is copied");
    InstalledDisk::open(&disk).order_reset(order.clone());
    let mut machine = bench.machine("reset-cut", bench.direct());
    machine.disks = vec![Disk::new(&disk)];
    let mut running = bench.start(&machine);
    running
        .console()
        .wait_for(BEGUN, BOOT_TIMEOUT)
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    std::thread::sleep(Duration::from_millis(milliseconds));
    running.kill().unwrap_or_else(|e| panic!("{name}: {e}"));

    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    let expected = match order {
        ResetOrder::Clear(_) => "/var/lib/app/kept/file",
        ResetOrder::Erase => "",
    };
    let found = "find /srv /var/lib/app -type f 2>/dev/null || true";
    assert_eq!(output(&ssh, found), expected, "{name}");
    assert_eq!(ordered(&ssh)["state"], "none", "{name}");
    power_off(running);
}

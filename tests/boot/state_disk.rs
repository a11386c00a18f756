//! A machine whose state is on another disk than the one it is booted from: made there once, reset there, found by what it is
//! and not by its place, waited for if it is missing, and never made over somebody's data.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use disk_format::gpt::{PartitionTable, SectorSize};
use keelson_qemu::ssh::Ssh;
use keelson_qemu::{Disk, Machine, Running};

use crate::support::{BOOT_TIMEOUT, Bench, assert_clean, image, output, power_off, wait_healthy};

const SERIAL: &str = "STATE1";
const CONFIGURATION: &str = "hostname = 'apart'\n[state]\nserial = 'STATE1'\n";
const FILE: &str = "/var/lib/app/file";
/// What stands in the first sector of the boot disk's own partition.
const POINTER: &str = "head -c 512 /dev/disk/by-partlabel/state | tr -d '\\0'";

/// A second disk, that long and blank.
fn state_disk(bench: &Bench, bytes: u64) -> Disk {
    let path = bench.folder.path().join("state.raw");
    let file = File::create(&path).expect("a second disk");
    file.set_len(bytes).expect("it can be that long");
    Disk {
        serial: Some(SERIAL.to_owned()),
        ..Disk::new(path)
    }
}

fn machine(bench: &Bench, name: &str, disk: &Disk) -> Machine {
    let mut machine = bench.machine(name, bench.direct());
    machine.disks.push(disk.clone());
    bench.configure(&mut machine, CONFIGURATION);
    machine
}

/// Where state is, on a machine that has been configured.
fn is_apart(ssh: &Ssh, device: &str) {
    let show = "grep ' /state ' /proc/mounts | cut -d' ' -f1";
    assert_eq!(output(ssh, show), device);
    assert_eq!(output(ssh, "readlink /run/keelson/state"), device);
    let facts = output(ssh, "cat /run/keelson/boot.toml");
    let line = format!("state = \"{device}\"");
    assert!(facts.contains(&line), "{facts}");
    assert_eq!(output(ssh, "uname -n"), "apart");
    let failed = output(ssh, "systemctl list-units --failed --no-legend --plain");
    assert_eq!(failed, "");
}

fn wait(running: &Running, line: &str) {
    let seen = running.console().wait_for(line, BOOT_TIMEOUT);
    seen.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn state_is_made_on_another_disk_and_reset_there() {
    let bench = Bench::new(&image());
    let disk = state_disk(&bench, 1 << 30);
    let running = bench.start(&machine(&bench, "state-apart", &disk));
    wait_healthy(&running, 0);
    let text = running.console().text();
    let made = "first boot: making a file system on /dev/vdb1 (serial STATE1)";
    assert!(text.contains(made), "{text}");
    let ssh = bench.ssh(&running);
    is_apart(&ssh, "/dev/vdb1");
    let size = "lsblk --noheadings --bytes --output SIZE /dev/vdb1";
    assert_eq!(output(&ssh, size), ((1 << 30) - (2 << 20)).to_string());
    let identity = "cat /etc/machine-id";
    let (before, pointer) = (output(&ssh, identity), output(&ssh, POINTER));
    let partition = output(&ssh, "lsblk --noheadings --output PARTUUID /dev/vdb1");
    assert!(pointer.contains(&format!("partition {partition}\nstage there")));
    let said = output(
        &ssh,
        "provision apply --config - --dry-run 2>&1 <<E\n[state]\nserial = 'B'\nE\n true",
    );
    assert!(said.contains("state is on serial STATE1 already"), "{said}");
    output(
        &ssh,
        &format!("mkdir -p /var/lib/app && echo x > {FILE} && sync"),
    );

    let after = running.console().last_line_number();
    // The connection ends with the machine, so its status says nothing.
    let _ = ssh.run("osctl reset --erase --yes --now");
    wait_healthy(&running, after);
    let ssh = bench.ssh(&running);
    is_apart(&ssh, "/dev/vdb1");
    assert_eq!(
        output(&ssh, &format!("ls {FILE} 2>&1 | grep -c 'No such'")),
        "1"
    );
    assert_ne!(output(&ssh, identity), before, "it is another machine");
    assert_eq!(output(&ssh, POINTER), pointer);
    assert_clean(&running);
    power_off(running);
}

/// On the boot disk, which a machine without this TPM cannot read.
#[test]
fn encrypted_state_opens_with_the_machines_own_tpm() {
    let bench = Bench::new(&image());
    let mut machine = bench.machine("state-sealed", bench.direct());
    machine.tpm = Some(bench.folder.path().join("tpm"));
    let text = "hostname = 'apart'\n[state]\nencrypt = 'tpm2'\nrecovery-key = true\n";
    bench.configure(&mut machine, text);
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    let key = is_sealed(&ssh);
    output(
        &ssh,
        &format!("mkdir -p /var/lib/app && echo x > {FILE} && sync"),
    );
    let after = running.console().last_line_number();
    // The connection ends with the machine, so its status says nothing.
    let _ = ssh.run("systemctl reboot");
    wait_healthy(&running, after);
    let ssh = bench.ssh(&running);
    assert_eq!(is_sealed(&ssh), key);
    assert_eq!(output(&ssh, &format!("cat {FILE}")), "x");
    assert!(!running.console().text().contains(&key), "it is in no log");
    assert_clean(&running);
    power_off(running);

    let partition = bench.folder.path().join("state.luks");
    copy_partition(&bench.disk, &partition);
    assert!(
        opens(&bench, &partition, &key),
        "people open it with their key"
    );
    assert!(!opens(&bench, &partition, "guessed"));
    is_closed_elsewhere(&bench);
}

/// The recovery key.
fn is_sealed(ssh: &Ssh) -> String {
    is_apart(ssh, "/dev/dm-1");
    let kind = "lsblk --noheadings --output FSTYPE /dev/vda7 | head -1";
    assert_eq!(output(ssh, kind), "crypto_LUKS");
    let key = output(ssh, "cat /var/lib/keelson/recovery-key");
    assert_eq!(key.len(), 64);
    let told = output(
        ssh,
        &format!("journalctl -b --no-pager | grep -c {key} || true"),
    );
    assert_eq!(told, "0");
    key
}

fn copy_partition(disk: &Path, to: &Path) {
    let mut file = File::open(disk).expect("the disk is there");
    let table = PartitionTable::read(&mut file, SectorSize::Bytes512).expect("a table");
    let (_, state) = table.by_name("state").expect("a state partition");
    let mut head = vec![0; 17 << 20];
    file.read_exact_at(&mut head, state.start_bytes)
        .expect("it can be read");
    std::fs::write(to, head).expect("it can be written");
}

fn opens(bench: &Bench, volume: &Path, passphrase: &str) -> bool {
    let key = bench.folder.path().join("key");
    std::fs::write(&key, passphrase).expect("it can be written");
    let mut command = std::process::Command::new("/usr/sbin/cryptsetup");
    command.args(["open", "--test-passphrase", "--key-file"]);
    let status = command.arg(&key).arg(volume).status();
    status.expect("cryptsetup runs").success()
}

/// The disk in another machine: it says why it stops, and makes nothing.
fn is_closed_elsewhere(bench: &Bench) {
    let mut machine = bench.machine("state-stolen", bench.direct());
    machine.tolerated = vec!["keelson-init: failed".to_owned()];
    machine.tpm = Some(bench.folder.path().join("other-tpm"));
    let mut running = bench.start(&machine);
    wait(&running, "the encrypted volume on /dev/vda7 stays closed");
    running.kill().expect("it ends");
}

#[test]
fn soak_state_on_another_disk_is_found_missed_and_never_made_twice() {
    let bench = Bench::new(&image());
    let disk = state_disk(&bench, 1 << 30);
    somebodys_data_is_kept(&bench, &disk);

    let running = bench.start(&machine(&bench, "state-made", &disk));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    output(
        &ssh,
        &format!("mkdir -p /var/lib/app && echo x > {FILE} && sync"),
    );
    power_off(running);

    // Without the disk and without the configuration; with both again at another place, on a longer disk.
    let mut missed = bench.machine("state-missed", bench.direct());
    missed.tolerated = vec!["keelson-init: failed".to_owned()];
    let mut running = bench.start(&missed);
    wait(&running, "state is on the disk serial STATE1, partition");
    wait(&running, "no other state is made");
    let text = running.console().text();
    assert!(!text.contains("rebooting in"), "{text}");
    running.kill().expect("it ends");

    let longer = File::options().write(true).open(&disk.path);
    longer
        .expect("it is there")
        .set_len(2 << 30)
        .expect("it grows");
    let mut found = bench.machine("state-found", bench.direct());
    found.disks.insert(0, disk.clone());
    let running = bench.start(&found);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    is_apart(&ssh, "/dev/vda1");
    assert_eq!(output(&ssh, &format!("cat {FILE}")), "x");
    let size = output(&ssh, "df --output=size --block-size=M /state | tail -1");
    let mebibytes: u64 = size.trim_end_matches('M').parse().expect("a number");
    assert!(mebibytes > 1800, "{size}");
    power_off(running);
}

/// The boot stops in the first boot's own target, and nothing is written, here or there.
fn somebodys_data_is_kept(bench: &Bench, disk: &Disk) {
    let file = File::options().read(true).write(true).open(&disk.path);
    let file = file.expect("it is there");
    file.write_all_at(b"mine", 4096).expect("it can be written");
    let mut machine = machine(bench, "state-refused", disk);
    machine.tolerated = vec!["Failed to start keelson-first-boot.service".to_owned()];
    let mut running = bench.start(&machine);
    wait(
        &running,
        "opt/org.keelson/config:2:2: state: state shall be on serial STATE1: /dev/vdb holds something",
    );
    wait(&running, "the boot stops here");
    running.kill().expect("it ends");
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 4096)
        .expect("it can be read");
    assert_eq!(&bytes, b"mine");
    file.write_all_at(&[0; 4], 4096).expect("it can be written");
    is_blank(&disk.path);
}

fn is_blank(path: &Path) {
    let bytes = std::fs::read(path).expect("it can be read");
    assert!(bytes.iter().all(|byte| *byte == 0), "{}", path.display());
}

/// Moments after the disk was begun with, at which the power is cut.
const CUT_AFTER_MILLISECONDS: [u64; 5] = [0, 20, 60, 200, 600];

#[test]
fn soak_power_cuts_while_state_is_made_on_another_disk_lose_nothing() {
    for milliseconds in CUT_AFTER_MILLISECONDS {
        let bench = Bench::new(&image());
        let disk = state_disk(&bench, 1 << 30);
        let old = old_file_system(&bench);
        std::fs::copy(old, &disk.path).expect("an old file system");
        let mut machine = machine(&bench, "state-cut", &disk);
        configure_again(&mut machine, &bench);
        let mut running = bench.start(&machine);
        wait(&running, "first boot: making a file system on /dev/vdb1");
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill().expect("it ends");
        let running = bench.start(&machine);
        wait_healthy(&running, 0);
        let ssh = bench.ssh(&running);
        is_apart(&ssh, "/dev/vdb1");
        assert_eq!(output(&ssh, "ls /state/old 2>&1 | grep -c 'No such'"), "1");
        power_off(running);
    }
}

/// With the word that what is there goes.
fn configure_again(machine: &mut Machine, bench: &Bench) {
    machine.extra_arguments.clear();
    bench.configure(machine, &format!("{CONFIGURATION}wipe = true\n"));
}

/// A whole disk that is ext4, with a folder.
fn old_file_system(bench: &Bench) -> PathBuf {
    let (folder, path) = (
        bench.folder.path().join("old"),
        bench.folder.path().join("old.raw"),
    );
    std::fs::create_dir_all(folder.join("old")).expect("a folder");
    let file = File::create(&path).expect("a file");
    file.set_len(1 << 30).expect("it can be that long");
    let mut command = std::process::Command::new("/usr/sbin/mkfs.ext4");
    let made = command
        .args(["-q", "-F", "-d"])
        .arg(&folder)
        .arg(&path)
        .status();
    assert!(made.expect("mkfs.ext4 runs").success());
    path
}

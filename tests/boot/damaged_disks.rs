//! From version to version to version on a disk that something happens to in between: a partition table
//! destroyed, then the other; the state lost; the slot that is not running damaged.

use disk_format::verity::RootHash;
use image_build::output::{BuiltImage, Manifest};
use keelson_qemu::Running;
use keelson_qemu::ssh::Ssh;

use crate::installed::InstalledDisk;
use crate::releases::{NEXT, Releases, status, subscribe, update, wait_for_outcome};
use crate::support::{Bench, assert_clean, build, image, output, power_off, wait_healthy};
use crate::variants::Variant;

const NEWER: &str = "0.1.3";
const NEWEST: &str = "0.1.4";

#[test]
fn a_machine_updates_over_damage_to_its_disk() {
    let image = image();
    let bench = Bench::new(&image);
    let folder = bench.folder.path();
    let next = build(&["--version", NEXT], &folder.join("next"));
    let releases = Releases::new(folder);
    let built = format!("next/keelson-{}.json", image.product);
    releases.release(&folder.join(built), 0);
    let (address, _) = releases.serve();
    let boot = |name: &str, version: &str| {
        let running = bench.start(&bench.machine(name, bench.firmware()));
        wait_healthy(&running, 0);
        let ssh = bench.ssh(&running);
        subscribe(&ssh, &releases, address);
        runs(&ssh, version);
        (running, ssh)
    };

    let (running, ssh) = boot("undamaged", &image.version);
    install_and_power_off(running, &ssh, NEXT);
    let disk = InstalledDisk::open(&bench.disk);
    disk.assert_slot_holds("b", &hash(&next));
    disk.destroy_primary_table();
    disk.erase("state");
    drop(disk);

    // The state is made anew, and the machine trusts nobody yet.
    let (running, ssh) = boot("without-primary-table", NEXT);
    let newer = Variant::of(&next, NEWER).write(&folder.join("newer"));
    releases.release(&newer, 1);
    install_and_power_off(running, &ssh, NEWER);
    let newer = BuiltImage::load(&newer).expect("it was written").manifest;
    let mut disk = InstalledDisk::open(&bench.disk);
    disk.assert_both_tables_valid();
    disk.assert_slot_holds("a", &hash(&newer));
    disk.destroy_backup_table();
    disk.damage("root-b", 1000);
    drop(disk);

    let (running, ssh) = boot("without-backup-table", NEWER);
    let newest = Variant::of(&next, NEWEST).write(&folder.join("newest"));
    releases.release(&newest, 0);
    install_and_power_off(running, &ssh, NEWEST);
    let newest = BuiltImage::load(&newest).expect("it was written").manifest;
    let mut disk = InstalledDisk::open(&bench.disk);
    disk.assert_both_tables_valid();
    disk.assert_slot_holds("a", &hash(&newer));
    disk.assert_slot_holds("b", &hash(&newest));
}

fn hash(image: &Manifest) -> RootHash {
    image.root_hash.parse().expect("a root hash")
}

fn runs(ssh: &Ssh, version: &str) {
    wait_for_outcome(ssh);
    let status = status(ssh);
    assert_eq!(status["release"]["version"], version, "{status:#}");
    assert_eq!(status["verification"]["state"], "verified", "{status:#}");
    let failed = output(ssh, "systemctl list-units --failed --no-legend --plain");
    assert_eq!(failed, "");
}

fn install_and_power_off(running: Running, ssh: &Ssh, version: &str) {
    let text = update(ssh, "");
    assert!(text.contains(&format!("{version} is installed")), "{text}");
    assert_clean(&running);
    power_off(running);
}

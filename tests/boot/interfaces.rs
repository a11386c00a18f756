//! Kinds of disks a machine may have: 4096-byte sectors through UEFI here; SCSI and `NVMe` by direct kernel boot are what
//! machines of other tests have, which ask here.

use keelson_qemu::ssh::Ssh;
use keelson_qemu::{Disk, SectorSize};

use crate::support::{Bench, assert_clean, build, image, output, power_off, wait_healthy};

/// What a machine knows of the disk that it was booted from without firmware.
pub(crate) fn assert_booted_directly_from(ssh: &Ssh, device: &str) {
    let facts = output(ssh, "cat /run/keelson/boot.toml");
    assert!(
        facts.contains(&format!("disk = \"/dev/{device}\"")),
        "{facts}"
    );
    assert!(facts.contains("boot_path = \"direct\""), "{facts}");
    assert_eq!(
        output(ssh, "systemctl list-units --failed --no-legend --plain"),
        ""
    );
}

#[test]
fn boots_from_a_disk_with_4096_byte_sectors() {
    let folder = tempfile::tempdir_in(crate::support::checkout().join("target/keelson"))
        .expect("a temporary directory");
    let version = image().version;
    let large = build(
        &["--sector-size", "4096", "--version", &version],
        folder.path(),
    );
    let bench = Bench::new(&large);
    let mut machine = bench.machine("sectors-4096", bench.firmware());
    machine.disks = vec![Disk {
        sector_size: SectorSize::Bytes4096,
        ..Disk::new(&bench.disk)
    }];
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    assert_eq!(
        output(&ssh, "cat /sys/block/vda/queue/logical_block_size"),
        "4096"
    );
    assert_eq!(
        output(&ssh, "systemctl list-units --failed --no-legend --plain"),
        ""
    );
    assert_clean(&running);
    power_off(running);
}

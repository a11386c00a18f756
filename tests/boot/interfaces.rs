//! Every kind of disk a machine may have, by direct kernel boot, and 4096-byte sectors through UEFI.

use keelson_qemu::{Disk, DiskInterface, SectorSize};

use crate::support::{Bench, assert_clean, build, image, output, power_off, wait_healthy};

fn boots_directly_from(interface: DiskInterface, device: &str) {
    let bench = Bench::new(&image());
    let name = format!("direct-{device}");
    let machine = bench.with_interface(bench.machine(&name, bench.direct()), interface);
    let running = bench.start(&machine);
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    let facts = output(&ssh, "cat /run/keelson/boot.toml");
    assert!(
        facts.contains(&format!("disk = \"/dev/{device}\"")),
        "{facts}"
    );
    assert!(facts.contains("boot_path = \"direct\""), "{facts}");
    assert_eq!(
        output(&ssh, "systemctl list-units --failed --no-legend --plain"),
        ""
    );
    // It came from DHCP, after fleetd was started.
    let address =
        "timeout 30 sh -c 'until fleetctl list-machines | grep -qw 10.0.2.15; do sleep 1; done'";
    output(&ssh, address);
    assert_clean(&running);
    power_off(running);
}

#[test]
fn boots_directly_from_virtio_scsi() {
    boots_directly_from(DiskInterface::VirtioScsi, "sda");
}

#[test]
fn boots_directly_from_nvme() {
    boots_directly_from(DiskInterface::Nvme, "nvme0n1");
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

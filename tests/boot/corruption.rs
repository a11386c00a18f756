//! A flipped bit in the root: the machine restarts instead of running on wrong data.

use std::time::Duration;

use keelson_qemu::RebootPolicy;

use crate::installed::InstalledDisk;
use crate::support::{BOOT_TIMEOUT, Bench, HEALTHY, image};

#[test]
fn a_flipped_bit_in_the_root_restarts_the_machine() {
    let image = image();
    let bench = Bench::new(&image);
    let needle = format!("IMAGE_VERSION=\"{}\"", image.version);
    let block = InstalledDisk::open(&bench.disk).flip_bit("root-a", &image.root, needle.as_bytes());

    let mut machine = bench.machine("flipped-bit", bench.direct());
    machine.reboot = RebootPolicy::Exit;
    machine.tolerated = vec!["device-mapper: verity".to_owned()];
    let mut running = bench.start(&machine);
    running
        .wait_exit(BOOT_TIMEOUT + Duration::from_secs(1))
        .unwrap_or_else(|e| panic!("{e}"));

    let text = running.console().text();
    assert!(
        text.contains(&format!("data block {block} is corrupted")),
        "{text}"
    );
    assert!(!text.contains(HEALTHY), "it ran on: {text}");
}

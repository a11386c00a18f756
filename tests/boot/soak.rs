//! What takes too long for every change: the metal image, power cuts, many reboots. Run by `make soak`.

use std::time::Duration;

use keelson_qemu::DiskInterface;

use crate::installed::InstalledDisk;
use crate::support::{
    Bench, assert_clean, build, checkout, image, output, power_off, wait_healthy,
};

/// Moments after power on at which the power is cut: in the firmware, in /init while state is made, while
/// services start, and once in service.
const CUT_AFTER_MILLISECONDS: [u64; 10] = [
    4_000, 6_500, 7_000, 7_500, 8_000, 8_500, 10_000, 12_000, 15_000, 20_000,
];
const REBOOTS: usize = 8;

#[test]
fn soak_the_metal_image_boots_from_nvme() {
    let folder = tempfile::tempdir_in(checkout().join("target/keelson")).expect("a directory");
    let metal = build(&["--product", "metal"], folder.path());
    let bench = Bench::new(&metal);
    let mut machine = bench.machine("metal", bench.firmware());
    // A real machine's console is its screen; this one is watched on the serial port.
    machine.kernel_command_line_extra += " console=ttyS0";
    let running = bench.start(&bench.with_interface(machine, DiskInterface::Nvme));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    assert_eq!(
        output(&ssh, "systemctl list-units --failed --no-legend --plain"),
        ""
    );
    assert_clean(&running);
    power_off(running);
}

/// Each cut leaves a machine that boots again by itself, first boot included, and in the end healthy with
/// its only version still preferred.
#[test]
fn soak_power_cuts_leave_a_machine_that_boots() {
    let bench = Bench::new(&image());
    for milliseconds in CUT_AFTER_MILLISECONDS {
        let name = format!("power-cut-{milliseconds}");
        let mut running = bench.start(&bench.machine(&name, bench.firmware()));
        // Not a wait for something: the cut comes whatever the machine is doing.
        std::thread::sleep(Duration::from_millis(milliseconds));
        running.kill().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            InstalledDisk::open(&bench.disk).entries().len(),
            1,
            "{name}"
        );
    }
    let running = bench.start(&bench.machine("after-power-cuts", bench.firmware()));
    wait_healthy(&running, 0);
    let ssh = bench.ssh(&running);
    assert_eq!(
        output(&ssh, "systemctl list-units --failed --no-legend --plain"),
        ""
    );
    power_off(running);
}

#[test]
fn soak_many_reboots_change_nothing() {
    let bench = Bench::new(&image());
    let running = bench.start(&bench.machine("reboots", bench.firmware()));
    let mut line = 0;
    for _ in 0..REBOOTS {
        wait_healthy(&running, line);
        let ssh = bench.ssh(&running);
        assert_eq!(
            output(&ssh, "systemctl list-units --failed --no-legend --plain"),
            ""
        );
        line = running.console().last_line_number();
        // The connection ends with the machine, so its status says nothing.
        let _ = ssh.run("systemctl reboot");
    }
    wait_healthy(&running, line);
    bench.ssh(&running);
    assert_clean(&running);
    power_off(running);
}

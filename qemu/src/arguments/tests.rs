//! Tests of the command line; that QEMU accepts it is tested by starting machines.

use super::*;
use crate::{FirmwareVariables, Forward, SectorSize, Segment};

fn resources() -> Resources {
    Resources {
        control: 7,
        console: 8,
        variables: None,
        strings: Vec::new(),
        tpm: None,
        segment_address: HardwareAddress::random(),
    }
}

/// The values that follow the option `name`.
fn values(arguments: &[OsString], name: &str) -> Vec<String> {
    let pairs = arguments.windows(2).filter(|pair| pair[0] == name);
    pairs
        .map(|pair| pair[1].to_string_lossy().into_owned())
        .collect()
}

#[test]
fn commas_in_paths_are_doubled() {
    let mut machine = Machine::new("test", Boot::LegacyBios);
    machine.disks = vec![Disk::snapshot("/a,b/disk")];
    let drives = values(&build(&machine, &resources()), "-drive");
    assert!(drives[0].ends_with(",file=/a,,b/disk"), "{drives:?}");
    assert!(drives[0].contains("snapshot=on"), "{drives:?}");
}

#[test]
fn writes_are_recorded_below_the_disk() {
    let mut machine = Machine::new("test", Boot::LegacyBios);
    machine.disks = vec![Disk::recorded("/a,b/disk", "/log")];
    let arguments = build(&machine, &resources());
    let devices = values(&arguments, "-device");
    assert!(devices[0].contains(",request-merging=off"), "{devices:?}");
    let drives = values(&arguments, "-drive");
    let end = "file.file.filename=/a,,b/disk,log.filename=/log";
    assert!(drives[0].ends_with(end), "{drives:?}");
    assert!(drives[0].contains("driver=blklogwrites"), "{drives:?}");
}

#[test]
fn disks_get_interface_sector_size_and_order() {
    let mut machine = Machine::new("test", Boot::LegacyBios);
    machine.disks = vec![
        Disk {
            interface: DiskInterface::VirtioScsi,
            sector_size: SectorSize::Bytes4096,
            boot_index: Some(2),
            ..Disk::new("/a")
        },
        Disk {
            interface: DiskInterface::Nvme,
            serial: Some("DATA".to_owned()),
            ..Disk::new("/b")
        },
    ];
    let devices = values(&build(&machine, &resources()), "-device");
    let scsi = "scsi-hd,drive=drive0,logical_block_size=4096,physical_block_size=4096,\
                bus=scsi0.0,serial=disk0,bootindex=2";
    let nvme = "nvme,drive=drive1,logical_block_size=512,physical_block_size=512,serial=DATA";
    assert_eq!(&devices[..3], ["virtio-scsi-pci,id=scsi0", scsi, nvme]);
}

#[test]
fn extra_command_line_is_appended_for_direct_boots() {
    let boot = Boot::DirectKernel {
        kernel: "/vmlinuz".into(),
        initramfs: None,
        command_line: "console=ttyS0".to_owned(),
    };
    let mut machine = Machine::new("test", boot);
    machine.kernel_command_line_extra = "debug".to_owned();
    let arguments = build(&machine, &resources());
    assert_eq!(values(&arguments, "-append"), ["console=ttyS0 debug"]);
    assert_eq!(values(&arguments, "-initrd"), Vec::<String>::new());
}

#[test]
fn firmware_has_read_only_code_and_its_variables() {
    let boot = Boot::Firmware {
        code: "/code.fd".into(),
        variables: FirmwareVariables::Fresh("/template.fd".into()),
    };
    let mut with_variables = resources();
    with_variables.variables = Some("/run/variables.fd".into());
    with_variables.strings = vec!["/run/string0".into()];
    let arguments = build(&Machine::new("test", boot), &with_variables);
    let drives = values(&arguments, "-drive");
    assert!(drives[0].contains("readonly=on") && drives[0].ends_with("file=/code.fd"));
    assert!(drives[1].ends_with("unit=1,file=/run/variables.fd"));
    assert_eq!(values(&arguments, "-smbios"), ["type=11,path=/run/string0"]);
}

#[test]
fn forwards_bind_to_loopback_only() {
    let mut machine = Machine::new("test", Boot::LegacyBios);
    machine.network = Network::User {
        forwards: vec![Forward {
            host_port: 2222,
            guest_port: 22,
        }],
    };
    let arguments = build(&machine, &resources());
    assert_eq!(
        values(&arguments, "-netdev"),
        ["user,id=network0,hostfwd=tcp:127.0.0.1:2222-:22"]
    );
}

#[test]
fn a_segment_is_a_second_network() {
    let mut machine = Machine::new("test", Boot::LegacyBios);
    machine.network = Network::forwarding([22]);
    machine.segment = Some(Segment::named("test"));
    let resources = resources();
    let arguments = build(&machine, &resources);
    let networks = values(&arguments, "-netdev");
    assert!(networks[0].starts_with("user,id=network0"), "{networks:?}");
    assert_eq!(networks[1], Segment::named("test").options());
    let device = format!(
        "virtio-net-pci,netdev=segment,mac={},romfile=",
        resources.segment_address
    );
    let devices = values(&arguments, "-device");
    assert!(devices.contains(&device), "{devices:?}");
}

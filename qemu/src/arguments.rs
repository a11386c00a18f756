//! The command line of QEMU for a [`Machine`].
//!
//! It computes only: the files it names are made by [`crate::Running`].

use crate::{
    Boot, Disk, DiskFormat, DiskInterface, DiskMode, Machine, Network, PanicDevice, RebootPolicy,
    Watchdog, segment::HardwareAddress,
};
use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What a machine that runs has, and its description does not.
#[derive(Debug)]
pub(crate) struct Resources {
    /// QEMU's end of the control socket.
    pub(crate) control: RawFd,
    /// QEMU's end of the serial console.
    pub(crate) console: RawFd,
    /// QEMU's end of the connection to the TPM, if there is one.
    pub(crate) tpm: Option<RawFd>,
    /// The file with the firmware's variables, if there is firmware.
    pub(crate) variables: Option<PathBuf>,
    /// Files with one SMBIOS string each. Files, because arguments are limited to 128 KiB and
    /// everybody on the host can read them.
    pub(crate) strings: Vec<PathBuf>,
    /// The address of the device on the segment, where there is a segment.
    pub(crate) segment_address: HardwareAddress,
}

/// The arguments for `machine`.
pub(crate) fn build(machine: &Machine, resources: &Resources) -> Vec<OsString> {
    let mut list = ArgumentList(Vec::new());
    add_platform(&mut list, machine);
    add_channels(&mut list, resources);
    add_boot(&mut list, machine, resources.variables.as_deref());
    for (index, disk) in machine.disks.iter().enumerate() {
        add_disk(&mut list, index, disk);
    }
    add_network(&mut list, &machine.network);
    if let Some(segment) = &machine.segment {
        list.option("-netdev", &segment.options());
        let address = resources.segment_address;
        let device = format!("virtio-net-pci,netdev=segment,mac={address},romfile=");
        list.option("-device", &device);
    }
    if let Some(tpm) = resources.tpm {
        list.option("-chardev", &format!("socket,id=tpm-socket,fd={tpm}"));
        list.option("-tpmdev", "emulator,id=tpm,chardev=tpm-socket");
        list.option("-device", "tpm-crb,tpmdev=tpm");
    }
    add_devices(&mut list, machine);
    for path in &resources.strings {
        list.option_with_path("-smbios", "type=11,path=", path);
    }
    list.0.extend(machine.extra_arguments.iter().cloned());
    list.0
}

struct ArgumentList(Vec<OsString>);

impl ArgumentList {
    fn add<const N: usize>(&mut self, arguments: [&str; N]) {
        self.0.extend(arguments.map(OsString::from));
    }

    fn option(&mut self, name: &str, value: &str) {
        self.add([name, value]);
    }

    fn path(&mut self, name: &str, path: &Path) {
        self.0.extend([name.into(), path.into()]);
    }

    /// Adds an option whose last property is a path.
    fn option_with_path(&mut self, name: &str, properties: &str, path: &Path) {
        let mut value = OsString::from(properties);
        value.push(escape(path));
        self.0.extend([name.into(), value]);
    }
}

/// Doubles the commas in a path: a single one would end it.
fn escape(path: &Path) -> OsString {
    let mut bytes = Vec::new();
    for &byte in OsStr::as_bytes(path.as_os_str()) {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

fn add_platform(list: &mut ArgumentList, machine: &Machine) {
    list.option("-name", &format!("guest={}", machine.name));
    list.add(["-nodefaults", "-no-user-config", "-display", "none"]);
    list.option("-machine", "q35,vmport=off");
    list.add(machine.acceleration.arguments());
    list.option("-m", &format!("{}M", machine.memory_mebibytes));
    list.option("-smp", &machine.cpus.to_string());
}

fn add_channels(list: &mut ArgumentList, resources: &Resources) {
    let socket = |id: &str, descriptor| format!("socket,id={id},fd={descriptor}");
    list.option("-chardev", &socket("control", resources.control));
    list.option("-mon", "chardev=control,mode=control");
    list.option("-chardev", &socket("console", resources.console));
    list.option("-serial", "chardev:console");
}

fn add_boot(list: &mut ArgumentList, machine: &Machine, variables: Option<&Path>) {
    match &machine.boot {
        Boot::LegacyBios => {}
        Boot::Firmware { code, .. } => {
            let flash = "if=pflash,format=raw,unit=0,readonly=on,file=";
            list.option_with_path("-drive", flash, code);
            if let Some(variables) = variables {
                let flash = "if=pflash,format=raw,unit=1,file=";
                list.option_with_path("-drive", flash, variables);
            }
        }
        Boot::DirectKernel {
            kernel,
            initramfs,
            command_line,
        } => {
            list.path("-kernel", kernel);
            if let Some(initramfs) = initramfs {
                list.path("-initrd", initramfs);
            }
            let extra = &machine.kernel_command_line_extra;
            list.option("-append", format!("{command_line} {extra}").trim());
        }
    }
}

fn add_disk(list: &mut ArgumentList, index: usize, disk: &Disk) {
    add_drive(list, index, disk);
    let device = match disk.interface {
        DiskInterface::VirtioBlock => "virtio-blk-pci",
        DiskInterface::Nvme => "nvme",
        DiskInterface::VirtioScsi => {
            list.option("-device", &format!("virtio-scsi-pci,id=scsi{index}"));
            "scsi-hd"
        }
    };
    list.option("-device", &disk_device(device, index, disk));
}

fn add_drive(list: &mut ArgumentList, index: usize, disk: &Disk) {
    let format = match disk.format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    };
    let snapshot = match &disk.mode {
        DiskMode::Persistent => "off",
        DiskMode::Snapshot => "on",
        DiskMode::Recorded(log) => return add_recorded_drive(list, index, disk, log),
    };
    let drive =
        format!("if=none,id=drive{index},format={format},snapshot={snapshot},discard=unmap,file=");
    list.option_with_path("-drive", &drive, &disk.path);
}

/// A raw image below QEMU's driver that records what is written.
fn add_recorded_drive(list: &mut ArgumentList, index: usize, disk: &Disk, log: &Path) {
    let sector = disk.sector_size.bytes();
    let mut value = OsString::from(format!(
        "if=none,id=drive{index},driver=blklogwrites,log-sector-size={sector},file.driver=raw,\
         file.file.driver=file,log.driver=file,file.file.filename="
    ));
    value.push(escape(&disk.path));
    value.push(",log.filename=");
    value.push(escape(log));
    list.0.extend(["-drive".into(), value]);
}

fn disk_device(device: &str, index: usize, disk: &Disk) -> String {
    let sector = disk.sector_size.bytes();
    let mut properties = vec![
        device.to_owned(),
        format!("drive=drive{index}"),
        format!("logical_block_size={sector}"),
        format!("physical_block_size={sector}"),
    ];
    if disk.interface == DiskInterface::VirtioScsi {
        properties.push(format!("bus=scsi{index}.0"));
    }
    let is_recorded = matches!(disk.mode, DiskMode::Recorded(_));
    if is_recorded && disk.interface == DiskInterface::VirtioBlock {
        // Merged requests have as many pieces as the host's system call takes (1024), and the driver that
        // records them adds one: such a write fails.
        properties.push("request-merging=off".to_owned());
    }
    properties.push(match &disk.serial {
        Some(serial) => format!("serial={serial}"),
        None => format!("serial=disk{index}"),
    });
    properties.extend(disk.boot_index.map(|index| format!("bootindex={index}")));
    properties.join(",")
}

fn add_network(list: &mut ArgumentList, network: &Network) {
    let Network::User { forwards } = network else {
        return;
    };
    let mut properties = vec!["user,id=network0".to_owned()];
    properties.extend(forwards.iter().map(|forward| {
        let (host, guest) = (forward.host_port, forward.guest_port);
        format!("hostfwd=tcp:127.0.0.1:{host}-:{guest}")
    }));
    list.option("-netdev", &properties.join(","));
    // Without the option ROM: it is another package's, and the firmware has its own driver.
    list.option("-device", "virtio-net-pci,netdev=network0,romfile=");
}

fn add_devices(list: &mut ArgumentList, machine: &Machine) {
    list.option("-device", "virtio-rng-pci");
    match machine.watchdog {
        Watchdog::Absent => {}
        Watchdog::Reset => {
            list.option("-device", "i6300esb");
            list.option("-action", "watchdog=reset");
        }
    }
    match machine.panic_device {
        PanicDevice::Absent => {}
        PanicDevice::Report => {
            list.option("-device", "pvpanic");
            list.option("-action", "panic=none");
        }
        PanicDevice::Exit => {
            list.option("-device", "pvpanic");
            list.option("-action", "panic=exit-failure");
        }
    }
    if machine.reboot == RebootPolicy::Exit {
        list.add(["-no-reboot"]);
    }
}

#[cfg(test)]
mod tests;

//! The description of a virtual machine.
//!
//! A [`Machine`] is a plain value: it can be cloned, changed and started as often as one likes.
//! It runs nothing by itself; [`Machine::start`] returns the [`crate::Running`] that does.

use crate::{
    Acceleration, DEFAULT_BINARY, Disk, DiskFormat, DiskMode, Network, QemuError, Segment, smbios,
};
use std::ffi::OsString;
use std::path::PathBuf;

/// A virtual machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Names the machine in messages and log files: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// The QEMU to run, [`DEFAULT_BINARY`] at first.
    pub binary: PathBuf,
    /// The engine; software emulation at first, see [`Acceleration::detect`].
    pub acceleration: Acceleration,
    /// The memory in mebibytes, 1024 at first.
    pub memory_mebibytes: u32,
    /// The number of processors, 2 at first.
    pub cpus: u32,
    /// What is booted.
    pub boot: Boot,
    /// The disks, in the order in which the guest finds them.
    pub disks: Vec<Disk>,
    /// The network; none at first.
    pub network: Network,
    /// The segment that a second network device is on, with other machines; none at first.
    pub segment: Option<Segment>,
    /// Credentials for systemd in the guest, names and values, passed by SMBIOS.
    pub credentials: Vec<(String, Vec<u8>)>,
    /// More kernel command line: appended for [`Boot::DirectKernel`], else passed by SMBIOS to
    /// systemd's stub.
    pub kernel_command_line_extra: String,
    /// The folder of the TPM 2.0's state, which is made; none at first. It needs swtpm.
    pub tpm: Option<PathBuf>,
    /// The hardware watchdog.
    pub watchdog: Watchdog,
    /// The device by which a guest reports its kernel's panic.
    pub panic_device: PanicDevice,
    /// What happens when the guest reboots.
    pub reboot: RebootPolicy,
    /// What becomes of the console's log.
    pub logs: LogPolicy,
    /// Lines with one of these texts do not end a wait, however bad they are.
    pub tolerated: Vec<String>,
    /// More arguments for QEMU, for what this type does not know.
    pub extra_arguments: Vec<OsString>,
}

/// What a machine boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// UEFI firmware, which looks for a boot loader on the disks.
    Firmware {
        /// The firmware's code, for instance `OVMF_CODE_4M.fd`.
        code: PathBuf,
        /// The firmware's variables.
        variables: FirmwareVariables,
    },
    /// A kernel that QEMU itself loads.
    DirectKernel {
        /// The kernel, a bzImage.
        kernel: PathBuf,
        /// The initramfs.
        initramfs: Option<PathBuf>,
        /// The kernel command line.
        command_line: String,
    },
    /// The PC BIOS that comes with QEMU, which runs the first sector of a disk.
    LegacyBios,
}

/// Where the variables of the firmware are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirmwareVariables {
    /// This template is copied for each start.
    Fresh(PathBuf),
    /// This file is used and changed, so that several starts are one machine's life.
    Persistent(PathBuf),
}

/// The hardware watchdog of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// There is none.
    Absent,
    /// An Intel 6300ESB (`i6300esb` in Linux) that resets the machine.
    Reset,
}

/// The device by which a guest reports its kernel's panic (`pvpanic` in Linux).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PanicDevice {
    /// There is none.
    Absent,
    /// A panic is the QMP event `GUEST_PANICKED`, and the guest goes on as it likes.
    Report,
    /// A panic ends QEMU with exit code 1.
    Exit,
}

/// What happens when a guest reboots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebootPolicy {
    /// It reboots.
    Allow,
    /// QEMU ends instead, with exit code 0.
    Exit,
}

/// What becomes of the log of a machine's console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPolicy {
    /// It is removed with the machine.
    Remove,
    /// It is written in this directory, and stays if a wait failed or a thread panics.
    KeepOnFailure(PathBuf),
    /// It is written in this directory, and stays.
    Keep(PathBuf),
}

impl Machine {
    /// A machine with 1 GiB of memory, 2 processors, and neither disks nor network.
    pub fn new(name: &str, boot: Boot) -> Self {
        Self {
            name: name.to_owned(),
            binary: DEFAULT_BINARY.into(),
            acceleration: Acceleration::Tcg,
            memory_mebibytes: 1024,
            cpus: 2,
            boot,
            disks: Vec::new(),
            network: Network::None,
            segment: None,
            credentials: Vec::new(),
            kernel_command_line_extra: String::new(),
            tpm: None,
            watchdog: Watchdog::Absent,
            panic_device: PanicDevice::Absent,
            reboot: RebootPolicy::Allow,
            logs: LogPolicy::Remove,
            tolerated: Vec::new(),
            extra_arguments: Vec::new(),
        }
    }

    /// Refuses what QEMU would misunderstand or the guest would silently ignore.
    pub(crate) fn validate(&self) -> Result<(), QemuError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.bytes().all(allowed) {
            return Err(self.invalid("the name must be letters, digits, '.', '_' and '-'"));
        }
        if self.cpus == 0 || self.memory_mebibytes == 0 {
            return Err(self.invalid("it needs at least one processor and some memory"));
        }
        for (name, _) in &self.credentials {
            if !smbios::is_credential_name(name) {
                return Err(self.invalid(&format!("{name:?} cannot name a credential")));
            }
        }
        if self.kernel_command_line_extra.contains(['\0', '\n']) {
            return Err(self.invalid("the kernel command line must be a single line"));
        }
        // swtpm takes what is behind a comma for another option.
        if self
            .tpm
            .as_ref()
            .is_some_and(|folder| folder.as_os_str().as_encoded_bytes().contains(&b','))
        {
            return Err(self.invalid("the folder of its TPM must have no comma in its path"));
        }
        self.validate_strings()?;
        self.disks
            .iter()
            .try_for_each(|disk| self.validate_disk(disk))
    }

    /// The SMBIOS type 11 strings for the guest.
    pub(crate) fn smbios_strings(&self) -> Vec<String> {
        let mut strings: Vec<_> = self
            .credentials
            .iter()
            .map(|(name, value)| smbios::credential(name, value))
            .collect();
        let extra = &self.kernel_command_line_extra;
        if !extra.is_empty() && !matches!(self.boot, Boot::DirectKernel { .. }) {
            strings.push(smbios::command_line_extra(extra));
        }
        strings
    }

    fn validate_strings(&self) -> Result<(), QemuError> {
        let limit = smbios::STRINGS_LIMIT_BYTES;
        let strings = self.smbios_strings();
        let total: usize = strings.iter().map(|text| text.len() + 1).sum();
        if total > limit {
            return Err(self.invalid(&format!(
                "its credentials take {total} bytes in base64, and SMBIOS carries {limit}: put \
                 some on a disk"
            )));
        }
        // The structure counts its strings in one byte.
        if strings.len() > 255 {
            return Err(self.invalid("SMBIOS carries 255 credentials at most"));
        }
        Ok(())
    }

    fn validate_disk(&self, disk: &Disk) -> Result<(), QemuError> {
        // The limit of virtio-blk, the lowest of the three interfaces.
        let fits = |serial: &String| {
            serial.len() <= 20
                && serial
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b',')
        };
        if disk.serial.as_ref().is_some_and(|serial| !fits(serial)) {
            let reason = "a disk's serial number has at most 20 characters, without comma or space";
            return Err(self.invalid(reason));
        }
        if matches!(disk.mode, DiskMode::Recorded(_)) && disk.format != DiskFormat::Raw {
            return Err(self.invalid("only the writes to a raw disk can be recorded"));
        }
        Ok(())
    }

    fn invalid(&self, reason: &str) -> QemuError {
        QemuError::Configuration {
            machine: self.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine::new("test-1.0", Boot::LegacyBios)
    }

    #[test]
    fn default_is_valid() {
        machine().validate().unwrap();
    }

    #[test]
    fn nonsense_is_refused() {
        let mut machines = vec![machine(); 9];
        machines[8].tpm = Some("a,b".into());
        machines[0].name = "a/b".to_owned();
        machines[1].name = "..".to_owned();
        machines[2].cpus = 0;
        machines[3].credentials = vec![("a=b".to_owned(), Vec::new())];
        machines[4].kernel_command_line_extra = "a\nb".to_owned();
        machines[5].disks = vec![Disk {
            serial: Some("a,b".to_owned()),
            ..Disk::new("x")
        }];
        machines[6].credentials = vec![("big".to_owned(), vec![0; 50_000])];
        machines[7].disks = vec![Disk {
            format: DiskFormat::Qcow2,
            ..Disk::recorded("x", "log")
        }];
        for machine in machines {
            let error = machine.validate().unwrap_err();
            assert!(error.to_string().starts_with("machine "), "{error}");
        }
    }
}

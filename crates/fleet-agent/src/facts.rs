//! What a machine is, for the store: identity, address, what it has for units.
//!
//! Metadata is configured, not found out.

use std::net::{IpAddr, UdpSocket};

use fleet_model::{Capacity, MachineId};
use fleet_store::MachineRecord;
use machine_facts::error::FactError;
use machine_facts::system_root::SystemRoot;

const MACHINE_ID: &str = "/etc/machine-id";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const MEMORY: &str = "/proc/meminfo";
/// Each of them limits how many processes and threads there can be.
const TASK_LIMITS: [&str; 2] = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"];
/// Addresses that are nobody's (RFC 5737, RFC 3849): to ask for the way there sends nothing.
const ELSEWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFacts {
    /// systemd's machine id.
    pub id: MachineId,
    /// The kernel's identity of this boot.
    pub boot_id: String,
    /// The address of the interface that the default route leads through; nothing without a route.
    pub address: Option<IpAddr>,
    /// What reservations are taken from.
    pub capacity: Capacity,
}

impl MachineFacts {
    /// Asks the kernel.
    ///
    /// # Errors
    /// If the machine has no identity.
    pub fn read(root: &SystemRoot) -> Result<Self, FactError> {
        let cpus = std::thread::available_parallelism().ok();
        let limits = TASK_LIMITS
            .iter()
            .map(|path| number(root.read_word(path).ok()?.as_str()));
        Ok(Self {
            id: MachineId::new(root.read_word(MACHINE_ID)?),
            boot_id: root.read_word(BOOT_ID)?,
            address: ELSEWHERE.iter().find_map(|there| address_towards(there)),
            capacity: Capacity {
                memory: root
                    .read_text(MEMORY)
                    .ok()
                    .as_deref()
                    .and_then(total_memory),
                cpu: cpus
                    .and_then(|cpus| u64::try_from(cpus.get()).ok())
                    .map(|cpus| cpus * 1000),
                tasks: limits.flatten().min(),
            },
        })
    }

    /// As the store has it, without what is configured.
    pub fn record(&self) -> MachineRecord {
        MachineRecord {
            primary_ip: self
                .address
                .map(|address| address.to_string())
                .unwrap_or_default(),
            capacity: self.capacity,
            ..MachineRecord::default()
        }
    }
}

/// The address that packets to a destination would come from.
fn address_towards(destination: &str) -> Option<IpAddr> {
    let any = if destination.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(destination).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// `MemTotal` of `proc_meminfo(5)`, in bytes.
fn total_memory(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes = number(line.trim().strip_suffix("kB")?.trim())?;
    kibibytes.checked_mul(1024)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn facts_are_read_from_the_kernels_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        let root = SystemRoot::new(folder.path());
        assert!(MachineFacts::read(&root).is_err(), "there is no identity");
        write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        write("proc/sys/kernel/random/boot_id", "b\n");
        write("proc/meminfo", "MemTotal:        2048 kB\nMemFree:  1 kB\n");
        write("proc/sys/kernel/pid_max", "4194304\n");
        write("proc/sys/kernel/threads-max", "3000\n");
        let facts = MachineFacts::read(&root).expect("facts");
        assert_eq!(facts.id.short(), "01234567");
        assert_eq!(facts.boot_id, "b");
        assert_eq!(facts.capacity.memory, Some(2 * 1024 * 1024));
        assert_eq!(facts.capacity.tasks, Some(3000));
        assert!(facts.capacity.cpu.is_some_and(|cpu| cpu >= 1000));
        assert_eq!(facts.record().capacity, facts.capacity);
    }

    #[test]
    fn no_memory_is_not_known() {
        for text in ["", "MemTotal: x kB\n", "MemTotal: 1 GB\n"] {
            assert_eq!(total_memory(text), None, "{text}");
        }
    }
}

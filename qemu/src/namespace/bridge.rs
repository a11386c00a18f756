//! A network of machines: a bridge in a network namespace of its own.
//!
//! Nothing of it is visible on the host, and it leads nowhere else.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::commands::{in_network, ip};
use crate::QemuError;
use crate::child::ChildProcess;

/// How long a namespace may take to come into being on a busy host.
const APPEAR_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A network; dropping it ends it.
#[derive(Debug)]
pub struct Bridge {
    /// A process that does nothing and keeps the namespace.
    holder: ChildProcess,
    prefix: u8,
}

impl Bridge {
    /// A network whose own address is `address` with a prefix length, such as `172.18.0.1` and 16.
    pub fn create(address: &str, prefix: u8) -> Result<Self, QemuError> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let holder = ChildProcess::spawn(command, Vec::new())?;
        let bridge = Self { holder, prefix };
        bridge.wait_for_namespace()?;
        let process = bridge.process_id();
        ip(process, "link set lo up")?;
        ip(process, "link add br0 type bridge forward_delay 0")?;
        ip(process, &format!("address add {address}/{prefix} dev br0"))?;
        ip(process, "link set br0 up")?;
        Ok(bridge)
    }

    /// A program of the host that has this network and no other.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        in_network(self.process_id(), program)
    }

    /// The process that keeps the network.
    pub fn process_id(&self) -> u32 {
        self.holder.id()
    }

    /// Pulls a machine's cable.
    pub fn cut(&self, machine: &str) -> Result<(), QemuError> {
        ip(self.process_id(), &format!("link set v-{machine} down"))
    }

    /// Puts it back.
    pub fn mend(&self, machine: &str) -> Result<(), QemuError> {
        ip(self.process_id(), &format!("link set v-{machine} up"))
    }

    /// Gives a machine's namespace an interface `fleet0` that leads here.
    pub(super) fn join(&self, machine: &str, process: u32, address: &str) -> Result<(), QemuError> {
        let Self { prefix, .. } = self;
        let own = self.process_id();
        let peer = format!("peer name fleet0 netns {process}");
        ip(own, &format!("link add v-{machine} type veth {peer}"))?;
        ip(own, &format!("link set v-{machine} master br0 up"))?;
        ip(process, "link set lo up")?;
        ip(
            process,
            &format!("address add {address}/{prefix} dev fleet0"),
        )?;
        ip(process, "link set fleet0 up")
    }

    fn wait_for_namespace(&self) -> Result<(), QemuError> {
        let path = format!("/proc/{}/ns/net", self.process_id());
        let path = Path::new(&path);
        let own = fs::read_link("/proc/self/ns/net").map_err(QemuError::file("read", path))?;
        let deadline = Instant::now() + APPEAR_TIMEOUT;
        loop {
            if let Some(status) = self.holder.try_wait() {
                return Err(QemuError::CommandFailed {
                    command: "unshare --net (a network namespace needs root)".to_owned(),
                    status,
                    stdout: String::new(),
                    stderr: String::new(),
                });
            }
            let there = fs::read_link(path).map_err(QemuError::file("read", path))?;
            if there != own {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(QemuError::CommandTimeout {
                    program: "unshare --net".to_owned(),
                    seconds: APPEAR_TIMEOUT.as_secs_f32(),
                    output: String::new(),
                });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

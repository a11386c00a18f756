//! The unit that this process is the main one of, as far as it can be told from inside.
//!
//! Asks systemd nothing. Outside of a unit everything works but limits of the container's own.

use std::path::Path;

use anyhow::{Context as _, bail};
use container_model::options::ContainerOptions;
use container_model::spec::Cgroup;

const HIERARCHY: &str = "/sys/fs/cgroup";
/// Where the payload is counted, beside the monitor's own group.
const PAYLOAD: &str = "payload";
/// What systemd writes on a group that it leaves to its unit.
const DELEGATED: &str = "trusted.delegate";

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    name: Option<String>,
    cgroup: Cgroup,
    sockets: u32,
    is_in_journal: bool,
}

impl Unit {
    /// Of whatever unit this process is in.
    pub(crate) fn of_this_process() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string("/proc/self/cgroup").context("/proc/self/cgroup")?;
        let path = own_group(&text).context("this process is in no control group of version 2")?;
        let (parent, is_delegated) = match path.rsplit_once('/') {
            Some((parent, _)) => (parent, is_delegated(parent)),
            None => ("", false),
        };
        Ok(Self {
            name: unit_name(path),
            cgroup: if is_delegated {
                Cgroup::Own(format!("{parent}/{PAYLOAD}"))
            } else {
                Cgroup::Inherited
            },
            sockets: sockets()?,
            is_in_journal: is_in_journal(),
        })
    }

    /// What the options need of a unit.
    pub(crate) fn check(&self, options: &ContainerOptions) -> anyhow::Result<()> {
        if self.cgroup == Cgroup::Inherited && options.resources.is_limited() {
            bail!(
                "--memory, --cpus, --pids-limit and the like need a unit with Delegate=yes and \
                 DelegateSubgroup=launch; MemoryMax=, CPUQuota= and TasksMax= of the unit hold without"
            );
        }
        if options.init && self.sockets > 0 {
            bail!(
                "--init and a socket unit: sockets are passed to the first process, which is the init"
            );
        }
        Ok(())
    }

    /// Without `.service`.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the payload is counted.
    pub(crate) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// crun's word for what it does with it.
    pub(crate) fn cgroup_manager(&self) -> &'static str {
        match self.cgroup {
            Cgroup::Own(_) => "cgroupfs",
            Cgroup::Inherited => "disabled",
        }
    }

    /// How many sockets systemd passed.
    pub(crate) fn sockets(&self) -> u32 {
        self.sockets
    }

    /// Where output goes: to the journal with fields, if it would go there anyway.
    pub(crate) fn output(&self) -> &'static str {
        if self.is_in_journal {
            "journal"
        } else {
            "inherited"
        }
    }
}

/// The group's path in the hierarchy.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The innermost service, without its ending.
fn unit_name(path: &str) -> Option<String> {
    let service = path
        .split('/')
        .rev()
        .find_map(|part| part.strip_suffix(".service"));
    service.map(ToOwned::to_owned)
}

fn is_delegated(path: &str) -> bool {
    let folder = Path::new(HIERARCHY).join(path.trim_start_matches('/'));
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(&folder, DELEGATED, &mut value[..]);
    matches!(length, Ok(length) if value[..length] == *b"1")
}

/// They are for this process only if systemd says so by its number.
fn sockets() -> anyhow::Result<u32> {
    let is_ours =
        std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    match std::env::var("LISTEN_FDS") {
        Ok(count) if is_ours => count.parse().context("LISTEN_FDS"),
        _ => Ok(0),
    }
}

/// systemd tells which file it connected to the journal.
fn is_in_journal() -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(std::io::stdout())
        .is_ok_and(|stat| told == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_in_the_path() {
        let path = own_group("1:name=systemd:/a\n0::/system.slice/web@1.service/launch\n").unwrap();
        assert_eq!(unit_name(path).as_deref(), Some("web@1"));
        assert_eq!(unit_name("/user.slice/session-1.scope"), None);
        assert_eq!(own_group("1:cpu:/\n"), None);
    }
}

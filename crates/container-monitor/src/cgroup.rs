//! The payload's control group: frozen, thawed, and asked whether memory was short.
//!
//! Limits are the runtime's business.

use std::io;
use std::path::PathBuf;

use monitor_protocol::exit::out_of_memory_kills;

use crate::arguments::Arguments;

const HIERARCHY: &str = "/sys/fs/cgroup";

/// The payload's own group.
fn own(arguments: &Arguments) -> Option<PathBuf> {
    let path = arguments.cgroup.as_deref()?;
    Some(PathBuf::from(HIERARCHY).join(path.trim_start_matches('/')))
}

/// Without a group of its own the payload is where the monitor is.
fn shared() -> Option<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from(HIERARCHY).join(path))
}

/// Every process of the payload stops, or goes on.
pub(crate) fn freeze(arguments: &Arguments, is_frozen: bool) -> io::Result<()> {
    let Some(group) = own(arguments) else {
        return Err(io::Error::other(
            "the container has no control group of its own: its unit needs Delegate=yes and DelegateSubgroup=launch",
        ));
    };
    std::fs::write(
        group.join("cgroup.freeze"),
        if is_frozen { "1" } else { "0" },
    )
}

/// Whether the kernel killed a process of the payload because memory was short.
pub(crate) fn was_out_of_memory(arguments: &Arguments) -> bool {
    let Some(group) = own(arguments).or_else(shared) else {
        return false;
    };
    // Without the memory controller there is no such file.
    let events = std::fs::read_to_string(group.join("memory.events")).unwrap_or_default();
    out_of_memory_kills(&events) > 0
}

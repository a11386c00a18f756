//! Who has a port: which process of the machine holds a socket at it.
//!
//! What cannot be found out is not told; nothing depends on it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use container_model::network::BoundPort;
use container_model::port::Protocol;

/// A process, by name and number.
pub(crate) fn of(port: &BoundPort) -> Option<String> {
    let inodes = sockets(port.protocol, port.host);
    let processes = fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    // Links such as `self` are there too.
    let processes = processes.filter(|path| path.file_name().is_some_and(is_number));
    let mut owners = processes.filter(|process| holds(process, &inodes));
    let process = owners.next()?;
    let number = process.file_name()?.to_str()?.to_owned();
    let name = fs::read_to_string(process.join("comm")).ok()?;
    Some(format!("{} (process {number})", name.trim()))
}

fn is_number(name: &OsStr) -> bool {
    name.as_bytes().iter().all(u8::is_ascii_digit)
}

/// The inodes of sockets at a port, as the kernel's tables list them.
fn sockets(protocol: Protocol, port: u16) -> Vec<String> {
    let tables: &[&str] = match protocol {
        Protocol::Tcp => &["tcp", "tcp6"],
        Protocol::Udp => &["udp", "udp6"],
        Protocol::Sctp => &[],
    };
    let ending = format!(":{port:04X}");
    let mut inodes = Vec::new();
    for table in tables {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [_, local, _, _, _, _, _, _, _, inode, ..] = fields[..]
                && local.ends_with(&ending)
                && inode != "0"
            {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    inodes
}

fn holds(process: &Path, inodes: &[String]) -> bool {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    let mut links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.any(|link| {
        inodes
            .iter()
            .any(|inode| link.as_os_str() == inode.as_str())
    })
}

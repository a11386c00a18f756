//! Docker and podman of Debian 13, on a disk that a machine lays under its own `/usr`.
//!
//! The disk is made without root and without maintainer scripts, as all else. What those would have done and the
//! engines need is done here. They run in the machine that is measured; nothing is installed on this one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::builds::Builder;
use crate::command;
use crate::updates::peers::fetch;

/// Both, and what each starts.
const PACKAGES: [&str; 8] = [
    "docker.io",
    "docker-cli",
    "containerd",
    "runc",
    "iptables",
    "podman",
    "conmon",
    "crun",
];
/// update-alternatives makes these links.
const LINKS: [(&str, &str); 6] = [
    ("iptables", "iptables-nft"),
    ("iptables-save", "iptables-nft-save"),
    ("iptables-restore", "iptables-nft-restore"),
    ("ip6tables", "ip6tables-nft"),
    ("ip6tables-save", "ip6tables-nft-save"),
    ("ip6tables-restore", "ip6tables-nft-restore"),
];
/// Whatever changes in how the disk is made: raise it.
const REVISION: u32 = 1;
const DISK_MIB: u32 = 2048;

/// The disk, made once below `folder`.
pub(crate) fn disk(builder: &Builder, folder: &Path) -> anyhow::Result<PathBuf> {
    let disk = folder.join(format!("peers-{REVISION}.ext4"));
    if disk.exists() {
        return Ok(disk);
    }
    eprintln!("bench: fetching {}", PACKAGES.join(", "));
    let work = tempfile::Builder::new()
        .prefix("peers-")
        .tempdir_in(folder)?;
    let tree = work.path().join("tree");
    fs::create_dir(&tree)?;
    fetch(builder, &work.path().join("apt"), &tree, &PACKAGES)?;
    for (name, target) in LINKS {
        symlink(target, tree.join("usr/sbin").join(name))?;
    }
    let part = work.path().join("disk");
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-d"]).arg(&tree);
    make.args(["-E", "lazy_itable_init=0,lazy_journal_init=0"]);
    command::run(make.arg(&part).arg(format!("{DISK_MIB}M")))?;
    fs::rename(&part, &disk)?;
    Ok(disk)
}

//! Devices of the machine, as the kernel counts them.
//!
//! A privileged container gets every device file of `/dev` but terminals, as with Docker.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use container_model::options::ContainerOptions;
use container_model::spec::{DeviceKind, DeviceNode};
use rustix::fs::{major, minor};

/// Folders and links that a container has of its own.
const OWN: &[&str] = &[
    "pts", "shm", "fd", "mqueue", "console", "ptmx", "stdin", "stdout", "stderr",
];

/// The devices that a container gets beside the runtime's.
pub(crate) fn find(options: &ContainerOptions) -> anyhow::Result<Vec<DeviceNode>> {
    let mut found = Vec::new();
    for device in &options.devices {
        let node = node(
            Path::new(&device.host),
            &device.container,
            &device.permissions,
        )?;
        found.push(node.with_context(|| format!("{} is no device", device.host))?);
    }
    if options.privileged {
        search(Path::new("/dev"), &mut found)?;
    }
    Ok(found)
}

fn node(path: &Path, target: &str, permissions: &str) -> anyhow::Result<Option<DeviceNode>> {
    let metadata = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    let kind = metadata.file_type();
    let kind = if kind.is_char_device() {
        DeviceKind::Character
    } else if kind.is_block_device() {
        DeviceKind::Block
    } else {
        return Ok(None);
    };
    Ok(Some(DeviceNode {
        path: target.to_owned(),
        kind,
        major: i64::from(major(metadata.rdev())),
        minor: i64::from(minor(metadata.rdev())),
        mode: metadata.mode() & 0o777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        permissions: permissions.to_owned(),
    }))
}

fn search(folder: &Path, found: &mut Vec<DeviceNode>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let Some(text) = path.to_str() else {
            bail!("{} is not UTF-8", path.display());
        };
        let is_own = OWN.iter().any(|name| text == format!("/dev/{name}"));
        if is_own || found.iter().any(|node| node.path == text) {
            continue;
        }
        if kind.is_dir() {
            search(&path, found)?;
        } else if kind.is_char_device() || kind.is_block_device() {
            found.extend(node(&path, text, "rwm")?);
        }
    }
    Ok(())
}

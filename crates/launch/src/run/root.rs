//! The container's root file system, mounted where only this process and the monitor see it.
//!
//! The mount is in a mount namespace of its own: when the monitor is gone, however it went, so is the mount. With users of
//! its own the container's layers are mounted there, too.

use std::os::unix::fs::chown;
use std::path::Path;

use anyhow::Context as _;
use image_store::store::RootMount;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};

use super::user_namespace::UserNamespace;

/// The same for all: each has it in its own namespace.
pub(crate) const MOUNT_POINT: &str = "/run/keelson/launch-root";

/// Leaves the machine's mount namespace, and mounts the root in the new one.
pub(crate) fn mount_privately(root: &RootMount) -> anyhow::Result<()> {
    std::fs::create_dir_all(MOUNT_POINT).context(MOUNT_POINT)?;
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace")?;
    // The machine's mounts and unmounts are still seen, and ours are not by the machine.
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", propagation).context("the mount namespace")?;
    mount_here(root).context("the container's root cannot be mounted")
}

/// Where layers are whose users are the container's. What is mounted there is the launcher's and the monitor's alone.
const LAYERS: &str = "/run/keelson/launch-layers";

/// Mounts the root anew, with the container's users as owners of what is in it. The layers stay as they are; the writable
/// one has the container's numbers, as it is nobody else's.
pub(crate) fn mount_mapped(root: &RootMount, users: &UserNamespace) -> anyhow::Result<()> {
    unmount(MOUNT_POINT, UnmountFlags::empty()).context(MOUNT_POINT)?;
    if root.kind == "bind" {
        return users.map(Path::new(&root.source), Path::new(MOUNT_POINT));
    }
    let mut number = 0_u32;
    let mut mapped = Vec::new();
    for option in &root.options {
        mapped.push(match option.split_once('=') {
            Some(("lowerdir", folders)) => {
                let mut places = Vec::new();
                for folder in folders.split(':') {
                    let place = format!("{LAYERS}/{number}");
                    users.map(Path::new(folder), Path::new(&place))?;
                    places.push(place);
                    number += 1;
                }
                format!("lowerdir={}", places.join(":"))
            }
            Some(("upperdir", folder)) => {
                let owner = Some(users.range().first);
                chown(folder, owner, owner).with_context(|| folder.to_owned())?;
                option.clone()
            }
            _ => option.clone(),
        });
    }
    let root = RootMount {
        options: mapped,
        ..root.clone()
    };
    mount_here(&root).context("the container's root cannot be mounted")
}

fn mount_here(root: &RootMount) -> anyhow::Result<()> {
    let mount = root.mount()?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&mount, "", rustix::fs::CWD, MOUNT_POINT, flags)?;
    Ok(())
}

/// Unmounts it, if it is mounted here.
pub(crate) fn unmount_here() -> anyhow::Result<()> {
    match unmount(MOUNT_POINT, UnmountFlags::DETACH) {
        // Not mounted, or never made.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context(MOUNT_POINT),
    }
}

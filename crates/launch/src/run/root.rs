//! The container's root file system, mounted where only this process and the monitor see it.
//!
//! The mount is in a mount namespace of its own: when the monitor is gone, however it went, so is the mount.

use anyhow::Context as _;
use image_store::store::RootMount;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};

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

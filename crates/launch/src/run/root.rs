//! The container's root file system, mounted where only this process and the monitor see it.
//!
//! The mount is in a mount namespace of its own: when the monitor is gone, however it went, so is the mount.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, bail};
use image_store::store::RootMount;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_bind,
    mount_change, move_mount, unmount,
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
    let mounted = match root.kind.as_str() {
        "overlay" => overlay(&root.options),
        "bind" => mount_bind(root.source.as_str(), MOUNT_POINT).map_err(Into::into),
        other => bail!("the snapshotter wants a mount of type {other}, which is not supported"),
    };
    mounted.context("the container's root cannot be mounted")
}

/// Each layer is an option of its own: an image may have more than fit into one.
fn overlay(options: &[String]) -> anyhow::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for option in options {
        match option.split_once('=') {
            Some(("lowerdir", folders)) => {
                for folder in folders.split(':') {
                    fsconfig_set_string(&context, "lowerdir+", folder)
                        .with_context(|| folder.to_owned())?;
                }
            }
            Some((key, value)) => {
                fsconfig_set_string(&context, key, value).with_context(|| option.clone())?;
            }
            None => fsconfig_set_flag(&context, option.as_str()).with_context(|| option.clone())?,
        }
    }
    fsconfig_create(&context)?;
    let mount = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(
        &mount,
        OsStr::new(""),
        rustix::fs::CWD,
        Path::new(MOUNT_POINT),
        flags,
    )?;
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

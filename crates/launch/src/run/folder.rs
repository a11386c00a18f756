//! A container's folder below `/run`: what the runtime and the monitor read, and a lock that says that the
//! container is alive.
//!
//! The lock is held by the launcher, then by the monitor that it becomes, and by nobody once that is dead,
//! however it died.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use container_model::name::Name;
use monitor_protocol::{FOLDER, RUNTIME_STATE};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

const LOCKS: &str = "/run/keelson/launch-locks";

/// The folder, and its lock.
#[derive(Debug)]
pub(crate) struct ContainerFolder {
    name: Name,
    path: PathBuf,
    lock: File,
}

impl ContainerFolder {
    /// Takes the name, and makes the folder anew.
    pub(crate) fn take(name: &Name) -> anyhow::Result<Self> {
        let Some(lock) = lock_after_sweep(name)? else {
            bail!("a container named {name} is running already: stop it, or use another --name");
        };
        Self::remove(name)?;
        let path = Path::new(FOLDER).join(name.as_str());
        make(&path)?;
        Ok(Self {
            name: name.clone(),
            path,
            lock,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Whose folders there are.
    pub(crate) fn all() -> Vec<Name> {
        let entries = std::fs::read_dir(FOLDER).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether a container has one.
    pub(crate) fn exists(name: &Name) -> bool {
        Path::new(FOLDER).join(name.as_str()).exists()
    }

    /// Holds a name that nobody has, until what is returned is dropped.
    pub(crate) fn hold_abandoned(name: &Name) -> Option<File> {
        lock(name).ok().flatten()
    }

    /// Removes a folder, and what the runtime still has of a container that was killed; that there is none is no error.
    pub(crate) fn remove(name: &Name) -> anyhow::Result<()> {
        for parent in [RUNTIME_STATE, FOLDER] {
            let path = Path::new(parent).join(name.as_str());
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| path.display().to_string());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets the program that this one becomes hold the lock.
    pub(crate) fn keep_across_exec(&self) -> anyhow::Result<()> {
        keep_across_exec(&self.lock).context("the container's lock")
    }
}

/// Lets the program that this one becomes have a descriptor.
pub(crate) fn keep_across_exec(descriptor: impl AsFd) -> anyhow::Result<()> {
    let flags = fcntl_getfd(&descriptor)? - FdFlags::CLOEXEC;
    Ok(fcntl_setfd(&descriptor, flags)?)
}

/// Lets nobody else look for what is abandoned, until what is returned is dropped. None if somebody does so just now.
pub(crate) fn sweeping() -> anyhow::Result<Option<File>> {
    let (file, path) = sweep_file()?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn sweep_file() -> anyhow::Result<(File, PathBuf)> {
    make(Path::new(FOLDER))?;
    // Beside the containers' folders, with a name that no container has.
    let path = Path::new(FOLDER).with_file_name("launch-sweep");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    Ok((file, path))
}

/// Holds a name that no container has, until what is returned is dropped, and every copy of it. None if one has it.
pub(super) fn hold_name(name: &Name) -> anyhow::Result<Option<File>> {
    lock_after_sweep(name)
}

/// The lock, or none if a container has it. Whoever sweeps has it for a moment, too, and is waited for.
fn lock_after_sweep(name: &Name) -> anyhow::Result<Option<File>> {
    if let Some(lock) = lock(name)? {
        return Ok(Some(lock));
    }
    let (swept, path) = sweep_file()?;
    flock(&swept, FlockOperation::LockExclusive).with_context(|| path.display().to_string())?;
    lock(name)
}

/// The lock, or none if somebody has it. Its file stays: a file that is removed would be locked twice.
fn lock(name: &Name) -> anyhow::Result<Option<File>> {
    make(Path::new(LOCKS))?;
    let path = Path::new(LOCKS).join(name.as_str());
    let context = || path.display().to_string();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.with_context(context)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(context),
    }
}

/// Nobody but root looks into it: it may hold secrets.
fn make(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| path.display().to_string())
}

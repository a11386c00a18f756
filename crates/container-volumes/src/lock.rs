//! Locks of a volume: one of whoever changes it, and one that every container has which uses it.
//!
//! Both are files that a restart of the machine removes, and that nobody else does: a file that is removed would be
//! locked twice.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use container_model::name::Name;
use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

/// That a container uses a volume, as long as this, or a copy of its descriptor, is there.
#[derive(Debug)]
pub struct Use(File);

impl AsFd for Use {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until nobody else changes the volume.
pub(crate) fn change(folder: &Path, name: &Name) -> Result<File, Error> {
    let file = open(folder, name, "change")?;
    let locked = flock(&file, FlockOperation::LockExclusive);
    locked.map_err(|error| Error::io(folder)(error.into()))?;
    Ok(file)
}

/// Marks the volume as used. Whoever calls may change it: so nobody removes it meanwhile.
pub(crate) fn share(folder: &Path, name: &Name) -> Result<Use, Error> {
    let file = open(folder, name, "use")?;
    let locked = flock(&file, FlockOperation::LockShared);
    locked.map_err(|error| Error::io(folder)(error.into()))?;
    Ok(Use(file))
}

/// Whether a container uses it.
pub(crate) fn is_used(folder: &Path, name: &Name) -> Result<bool, Error> {
    let file = open(folder, name, "use")?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(Error::io(folder)(error.into())),
    }
}

fn open(folder: &Path, name: &Name, kind: &str) -> Result<File, Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(Error::io(folder))?;
    let path = folder.join(format!("{name}.{kind}"));
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    file.map_err(Error::io(&path))
}

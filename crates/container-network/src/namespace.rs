//! Network namespaces: new ones, held by a descriptor.
//!
//! A namespace is there as long as somebody holds it or is in it, so that none outlives its container.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use nix::sched::{CloneFlags, unshare};

use crate::error::Error;

/// A new one. Whoever calls stays where it is.
pub(crate) fn create() -> Result<File, Error> {
    create_with(|| Ok(()))
}

/// A new one, in which something was done.
pub(crate) fn create_with(
    act: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<File, Error> {
    let made = std::thread::spawn(|| -> io::Result<File> {
        // The thread's alone, and the thread ends.
        unshare(CloneFlags::CLONE_NEWNET)?;
        act()?;
        File::open("/proc/thread-self/ns/net")
    });
    match made.join() {
        Ok(made) => made.map_err(Error::Namespace),
        Err(_) => Err(Error::Namespace(io::Error::other(
            "the thread that makes it panicked",
        ))),
    }
}

/// By which path other processes find it, while this one holds it under this number.
pub(crate) fn path(namespace: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd())
}

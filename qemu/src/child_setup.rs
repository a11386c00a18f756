//! What a child does between fork and exec: tie its life to ours, keep its inherited sockets.
//!
//! This is the crate's only file with unsafe code. It does not start anything itself.
#![allow(unsafe_code)] // `CommandExt::pre_exec` is unsafe, and nothing else runs in the child.

use rustix::io::{Errno, FdFlags};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the child of `command` its own process group, lets the kernel kill it when the thread
/// that spawns it dies, and passes `inherited` on under the numbers they have here.
pub(crate) fn tie_to_parent(command: &mut Command, inherited: Vec<OwnedFd>) {
    let parent = getpid();
    command.process_group(0);
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are
    // allowed: it makes plain system calls, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || prepare(parent, &inherited));
    }
}

fn prepare(parent: Pid, inherited: &[OwnedFd]) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above took effect.
    if getppid() != Some(parent) {
        return Err(Errno::SRCH.into());
    }
    for socket in inherited {
        rustix::io::fcntl_setfd(socket, FdFlags::empty())?;
    }
    Ok(())
}

//! Programs that inherit nothing but standard input, output and error.
//!
//! netavark starts aardvark-dns, which stays: it must hold no lock, socket or namespace of the container that happened
//! to be the first of a network.

#![allow(unsafe_code)] // `CommandExt::pre_exec` is unsafe, and nothing of the parent may stay open in what it starts

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Has the program start without any other descriptor of this process.
pub(crate) fn close_descriptors(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec one system call is made, which allocates nothing and takes no lock. Descriptors are
    // not closed but marked, so that the standard library's own, by which it hears of a failed exec, still works.
    unsafe { command.pre_exec(mark) }
}

fn mark() -> io::Result<()> {
    // SAFETY: the call takes three numbers and touches no memory.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::io::{FdFlags, fcntl_setfd};

    use super::*;

    #[test]
    fn what_is_kept_across_exec_is_not_inherited() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fcntl_setfd(file.as_file(), FdFlags::empty()).unwrap();
        let is_inherited = |close: bool| {
            let mut command = Command::new("/bin/sh");
            let script = "for one in /proc/$$/fd/*; do readlink $one; done; true";
            command.args(["-c", script]);
            if close {
                close_descriptors(&mut command);
            }
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().any(|line| Path::new(line) == file.path())
        };
        assert!(is_inherited(false));
        assert!(!is_inherited(true));
    }
}

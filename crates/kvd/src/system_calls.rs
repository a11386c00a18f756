//! What the operating system and its C library give to a process: sockets that systemd opened for it,
//! and the bounds of its allocator. The one place with `unsafe`.

#![allow(unsafe_code)] // neither has a safe wrapper

use std::os::fd::{FromRawFd as _, OwnedFd};

/// Larger pieces of memory go back to the system as soon as they are freed.
const MAPPED_BYTES_MIN: i32 = 256 << 10;
/// So much freed memory at most is kept at the end of each heap.
const KEPT_BYTES_MAX: i32 = 1 << 20;

/// Takes over the sockets that systemd opened for us (`LISTEN_FDS`). They replace those of
/// --listen-client-urls; TLS is spoken on them as the first such URL says.
///
/// A second call would take them twice, so there is one, before any other file is opened.
pub(crate) fn take_passed_sockets() -> Vec<OwnedFd> {
    let Ok(descriptors) = sd_notify::listen_fds() else {
        return Vec::new();
    };
    // SAFETY: the protocol gives us these descriptors, open, for this process alone (LISTEN_PID is
    // checked), and nothing else in this program takes them.
    let own = |descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) };
    descriptors.map(own).collect()
}

/// Fixes the bounds that glibc would raise to 32 MiB a heap when it sees large values freed, which
/// doubled what a large answer took. Where it cannot be done, memory is merely larger.
pub(crate) fn bound_freed_memory() {
    #[cfg(target_env = "gnu")]
    for (bound, bytes) in [
        (libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN),
        (libc::M_TRIM_THRESHOLD, KEPT_BYTES_MAX),
    ] {
        // SAFETY: it takes two numbers, and the allocator's own lock while it changes a bound.
        unsafe { libc::mallopt(bound, bytes) };
    }
}

/// Gives back whole pages of freed memory that lie between pieces in use.
pub(crate) fn return_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number of bytes to keep, and each heap's own lock while it looks through it.
    unsafe {
        libc::malloc_trim(0);
    }
}

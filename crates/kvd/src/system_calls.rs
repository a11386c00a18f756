//! Sockets that systemd opened for us (`LISTEN_FDS`): the one place with `unsafe`.
//!
//! They replace those of --listen-client-urls; TLS is spoken on them as the first such URL says.

#![allow(unsafe_code)] // a file descriptor that was passed on has no safe constructor

use std::os::fd::{FromRawFd as _, OwnedFd};

/// Takes the sockets over; a second call would take them twice, so there is one, before any other
/// file is opened.
pub(crate) fn take() -> Vec<OwnedFd> {
    let Ok(descriptors) = sd_notify::listen_fds() else {
        return Vec::new();
    };
    // SAFETY: the protocol gives us these descriptors, open, for this process alone (LISTEN_PID is
    // checked), and nothing else in this program takes them.
    let own = |descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) };
    descriptors.map(own).collect()
}

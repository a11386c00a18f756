//! The sockets that systemd opened for us. The one place with `unsafe`.

#![allow(unsafe_code)] // a bare descriptor has no safe wrapper

use std::os::fd::{FromRawFd as _, OwnedFd};

/// Takes over the sockets that systemd passed on (`LISTEN_FDS`).
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

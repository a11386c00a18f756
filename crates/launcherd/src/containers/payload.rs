//! The first process of a container, as the machine counts it.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::engine;
use crate::records::unit_name;

/// Sends a signal; whether there was somebody to get it.
///
/// The number may have been given to another process meanwhile: it is held first, and then looked at.
pub(super) fn signal(id: &str, signal: u8) -> bool {
    let Some(number) = engine::payload(id) else {
        return false;
    };
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
    let Some(held) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    let group = std::fs::read_to_string(format!("/proc/{number}/cgroup")).unwrap_or_default();
    let is_its = group.contains(&unit_name(id));
    let signal = Signal::from_named_raw(i32::from(signal));
    is_its && signal.is_some_and(|signal| pidfd_send_signal(&held, signal).is_ok())
}

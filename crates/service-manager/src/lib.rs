//! What systemd is told: ready, status, reloading, stopping, alive, and which descriptors it is to hold. Without systemd nobody is told.
//!
//! Does not take the sockets that systemd passes, and asks it for nothing.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sd_notify::NotifyState;

/// The kernel's limit is 253.
const DESCRIPTORS_AT_ONCE: usize = 200;

/// It fails only if systemd went away; then nobody is left to tell.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// The service is up, with a line for `systemctl status`. What that means is for each daemon to say.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Starting takes so long from now on, whatever the unit says, with a line for `systemctl status`.
pub fn extend_start(time: Duration, status: &str) {
    let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::ExtendTimeoutUsec(microseconds),
        NotifyState::Status(status),
    ]);
}

/// Settings are read again.
pub fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// They were.
pub fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The end begins, with a line on what is still done.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Has systemd hold descriptors for as long as the unit is there, without looking at what becomes of them. The unit needs
/// `FileDescriptorStoreMax=`. When this returns systemd has them, and this process may end.
pub fn hold(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let states = [NotifyState::FdStore, NotifyState::Custom("FDPOLL=0")];
    for some in descriptors.chunks(DESCRIPTORS_AT_ONCE) {
        sd_notify::notify_with_fds(&states, some)?;
    }
    let (mut own, theirs) = UnixStream::pair()?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[theirs.as_fd()])?;
    drop(theirs);
    // It ends when systemd closes the other side: what was sent before is in its hands then.
    own.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Says that the runtime still turns, twice in the time that systemd allows.
pub async fn keep_watchdog_quiet() {
    let Some(allowed) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval(allowed.max(Duration::from_millis(2)) / 2);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

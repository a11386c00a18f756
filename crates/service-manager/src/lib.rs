//! What systemd is told: ready, status, reloading, stopping, alive. Without systemd nobody is told.
//!
//! Does not take the sockets that systemd passes, and asks it for nothing.

use std::time::Duration;

use sd_notify::NotifyState;

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

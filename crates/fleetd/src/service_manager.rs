//! What systemd is told: ready, status, reloading, stopping, alive. Without systemd nobody is told.

use std::time::Duration;

use sd_notify::NotifyState;

/// It fails only if systemd went away; then nobody is left to tell.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// The API answers, the local agent runs; never whether the store or other machines do.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub(crate) fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Settings are read again.
pub(crate) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// They were.
pub(crate) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The end begins.
pub(crate) fn stopping() {
    let text = NotifyState::Status("Stopping; units go on");
    tell(&[NotifyState::Stopping, text]);
}

/// Says that the runtime still turns, twice in the time that systemd allows.
pub(crate) async fn keep_watchdog_quiet() {
    let Some(allowed) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval(allowed.max(Duration::from_millis(2)) / 2);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

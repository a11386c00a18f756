//! What happens when the boot cannot go on: say why, wait a little, reboot.
//!
//! It decides nothing about slots: the boot loader's counter, or the next boot's demotion,
//! picks the other one. What no reboot can mend stops the machine instead, with the reason on the console.
use std::error::Error;
use std::panic;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use crate::boot_options::DEFAULT_REBOOT_DELAY_SECONDS;
use crate::report::console;
use crate::report::error::chain;

/// However often a version failed, its next try is at most this far away.
const LONGEST_DELAY_SECONDS: u32 = 60;

/// How often whoever looks at the console is told why nothing happens.
const REMINDER: Duration = Duration::from_mins(10);

// Statics, because the panic hook must reach them too.
static BASE_DELAY_SECONDS: AtomicU32 = AtomicU32::new(DEFAULT_REBOOT_DELAY_SECONDS);
static FAILED_BOOTS: AtomicU32 = AtomicU32::new(0);

/// A step of the boot that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub(crate) struct StepFailed {
    step: &'static str,
    #[source]
    source: Box<dyn Error>,
}

impl StepFailed {
    /// Wraps what went wrong in a step.
    pub(crate) fn new(step: &'static str, source: impl Error + 'static) -> Self {
        Self {
            step,
            source: Box::new(source),
        }
    }
}

/// Sets the delay of the first reboot.
pub(crate) fn set_base_delay(seconds: u32) {
    BASE_DELAY_SECONDS.store(seconds, Ordering::Relaxed);
}

/// Says how often this version has failed in a row, this boot included.
pub(crate) fn set_failed_boots(count: u32) {
    FAILED_BOOTS.store(count, Ordering::Relaxed);
}

/// From now on a panic ends as every other failure does, not in a kernel panic.
pub(crate) fn catch_panics() {
    panic::set_hook(Box::new(|panic| {
        console::error(&format!("failed: {panic}"));
        restart_after_delay();
    }));
}

/// Ends a failed boot.
pub(crate) fn give_up(error: &StepFailed) -> ! {
    console::error(&format!("failed: {}", chain(error)));
    restart_after_delay()
}

/// Ends a boot that no other would differ from. The console keeps the reason; Ctrl-Alt-Del still restarts.
pub(crate) fn stop(error: &StepFailed) -> ! {
    loop {
        console::error(&format!("failed: {}", chain(error)));
        console::error("the machine stops here: a reboot would end the same way");
        thread::sleep(REMINDER);
    }
}

/// Reboots at once and durably.
pub(crate) fn restart() -> ! {
    rustix::fs::sync();
    loop {
        if let Err(error) = reboot(RebootCommand::Restart) {
            console::error(&format!("cannot reboot: {error}"));
        }
        thread::sleep(Duration::from_secs(u64::from(LONGEST_DELAY_SECONDS)));
    }
}

fn restart_after_delay() -> ! {
    let base = BASE_DELAY_SECONDS.load(Ordering::Relaxed);
    let seconds = delay_seconds(base, FAILED_BOOTS.load(Ordering::Relaxed));
    console::error(&format!(
        "rebooting in {seconds} s, into the other slot if there is one"
    ));
    rustix::fs::sync();
    thread::sleep(Duration::from_secs(u64::from(seconds)));
    restart()
}

/// The first failures restart soon; a machine that can only fail must not do so in a hot loop.
fn delay_seconds(base: u32, failed_boots: u32) -> u32 {
    let longest = LONGEST_DELAY_SECONDS.max(base);
    base.saturating_mul(failed_boots.max(1)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_to_a_limit() {
        assert_eq!(
            [0, 1, 2, 5, 12, 13, 9999].map(|n| delay_seconds(5, n)),
            [5, 5, 10, 25, 60, 60, 60]
        );
        assert_eq!(
            delay_seconds(0, 100),
            0,
            "a test's wish for no delay is respected"
        );
        assert_eq!(delay_seconds(300, 7), 300, "a longer base is not cut");
    }

    #[test]
    fn a_failed_step_is_named_before_its_reason() {
        let error = StepFailed::new("mount the root", std::io::Error::other("bad magic"));
        assert_eq!(chain(&error), "mount the root: bad magic");
    }
}

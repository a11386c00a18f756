//! The health check over time: wait until healthy, then hold for the soak time.
//!
//! It writes nothing and asks nobody itself: clock, machine and audience are passed in.
use std::error::Error;
use std::time::Duration;

use crate::health_check::{HealthView, Verdict};
use machine_facts::error::chain;

/// How often the machine is looked at until it is healthy.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// How often it is looked at while it has to stay so.
const SOAK_INTERVAL: Duration = Duration::from_secs(1);

/// A clock that counts from the kernel's start.
pub(crate) trait Clock {
    /// The time since then.
    fn since_boot(&self) -> Duration;
    /// Returns after this time.
    fn sleep(&mut self, duration: Duration);
}

/// Somebody who can look at the machine.
pub(crate) trait ViewSource {
    /// Looks once; an error counts as something that is still on its way.
    fn view(&mut self) -> Result<HealthView, Box<dyn Error>>;
}

/// Somebody who wants to know how far the check is; told at every look.
pub(crate) trait Audience {
    /// Not healthy, for these reasons.
    fn checking(&mut self, reasons: &[String]);
    /// Healthy since this time after the kernel's start.
    fn soaking(&mut self, healthy_after: Duration, notes: &[String]);
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long the machine must stay healthy.
    pub(crate) soak: Duration,
    /// How long after the check's start the machine may still be unhealthy.
    pub(crate) timeout: Duration,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Healthy for the soak time.
    Healthy {
        /// When that time began, since the kernel's start.
        healthy_after: Duration,
        /// What was not asked for.
        notes: Vec<String>,
    },
    /// Not healthy at the deadline, or no longer healthy after it.
    Unhealthy {
        /// When, since the kernel's start.
        unhealthy_after: Duration,
        /// Why.
        reasons: Vec<String>,
    },
}

/// Where the sequence is.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Checking,
    Soaking { since: Duration },
}

/// Watches the machine until it is healthy or the time is up. A relapse begins the soak anew.
pub(crate) fn run(
    limits: Limits,
    clock: &mut impl Clock,
    source: &mut impl ViewSource,
    audience: &mut impl Audience,
) -> Outcome {
    let deadline = clock.since_boot() + limits.timeout;
    let mut phase = Phase::Checking;
    loop {
        let verdict = look(source);
        let now = clock.since_boot();
        let (until, interval) = match verdict {
            Verdict::Healthy(notes) => {
                let healthy_after = match phase {
                    Phase::Checking => now,
                    Phase::Soaking { since } => since,
                };
                audience.soaking(healthy_after, &notes);
                if now >= healthy_after + limits.soak {
                    return Outcome::Healthy {
                        healthy_after,
                        notes,
                    };
                }
                phase = Phase::Soaking {
                    since: healthy_after,
                };
                (healthy_after + limits.soak, SOAK_INTERVAL)
            }
            Verdict::Waiting(reasons) | Verdict::Unhealthy(reasons) => {
                audience.checking(&reasons);
                if now >= deadline {
                    return Outcome::Unhealthy {
                        unhealthy_after: now,
                        reasons,
                    };
                }
                phase = Phase::Checking;
                (deadline, CHECK_INTERVAL)
            }
        };
        clock.sleep(interval.min(until.saturating_sub(now)));
    }
}

fn look(source: &mut impl ViewSource) -> Verdict {
    match source.view() {
        Ok(view) => view.verdict(),
        Err(error) => Verdict::Waiting(vec![chain(error.as_ref())]),
    }
}

#[cfg(test)]
mod tests;

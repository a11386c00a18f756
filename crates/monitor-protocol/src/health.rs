//! Health checks: what is run how often, and what came of it, by Docker's rules.
//!
//! [`Health::take`] decides; nothing is run here and no clock is read.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Bytes of a check's output that are kept, as with Docker.
pub const OUTPUT_MAX: usize = 4096;
/// Checks that are remembered, as with Docker.
const LOG_MAX: usize = 5;

/// A check, as `HEALTHCHECK` and `--health-…` say it. Times are whole milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The program and its arguments; one of a shell is written out.
    pub command: Vec<String>,
    /// From the end of one check to the next.
    pub interval_ms: u64,
    /// A check that takes longer is killed, and has failed.
    pub timeout_ms: u64,
    /// So many failures in a row are unhealthy.
    pub retries: u32,
    /// Failures in this time from the start do not count, until a check succeeds.
    pub start_period_ms: u64,
    /// From one check to the next in that time.
    pub start_interval_ms: u64,
    /// What is done about a container that is unhealthy.
    pub on_failure: OnFailure,
}

/// What is done about a container that is unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is told.
    #[default]
    None,
    /// The payload is killed, and the unit fails.
    Kill,
    /// The payload is stopped in order, and the unit fails, so that `Restart=` starts it again.
    Restart,
    /// The payload is stopped in order, and the unit with it: its `Restart=` is not asked.
    Stop,
}

/// What came of the checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The sum of it.
    pub status: HealthStatus,
    /// Failures in a row that count.
    pub failing_streak: u32,
    /// The last checks, the latest last.
    pub log: Vec<Probe>,
}

/// Docker's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Not decided yet.
    #[default]
    Starting,
    /// The last check succeeded, or too few failed since.
    Healthy,
    /// Too many failed.
    Unhealthy,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Its exit code; -1 if it took too long or could not be run.
    pub exit_code: i32,
    /// What it wrote, at most [`OUTPUT_MAX`] bytes.
    pub output: String,
}

impl HealthStatus {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl HealthCheck {
    /// Whether a time since the start is within the first one, in which failures do not count.
    pub fn is_starting(&self, health: &Health, since_start: Duration) -> bool {
        health.status == HealthStatus::Starting
            && since_start < Duration::from_millis(self.start_period_ms)
    }

    /// From the end of a check, or from the start, to the next check.
    pub fn pause(&self, health: &Health, since_start: Duration) -> Duration {
        Duration::from_millis(if self.is_starting(health, since_start) {
            self.start_interval_ms
        } else {
            self.interval_ms
        })
    }
}

impl Health {
    /// Counts a check that ended so long after the start. Gives back whether the status is another one now.
    pub fn take(&mut self, check: &HealthCheck, probe: Probe, since_start: Duration) -> bool {
        let before = self.status;
        if probe.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if !check.is_starting(self, since_start) {
            self.failing_streak += 1;
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if self.log.len() >= LOG_MAX {
            self.log.remove(0);
        }
        self.log.push(probe);
        self.status != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: HealthCheck = HealthCheck {
        command: Vec::new(),
        interval_ms: 30_000,
        timeout_ms: 1_000,
        retries: 2,
        start_period_ms: 10_000,
        start_interval_ms: 500,
        on_failure: OnFailure::None,
    };

    fn probe(exit_code: i32) -> Probe {
        Probe {
            started_at: Timestamp(0),
            ended_at: Timestamp(1),
            exit_code,
            output: String::new(),
        }
    }

    fn after(steps: &[(i32, u64)]) -> (HealthStatus, u32) {
        let mut health = Health::default();
        for (code, seconds) in steps {
            health.take(&CHECK, probe(*code), Duration::from_secs(*seconds));
        }
        (health.status, health.failing_streak)
    }

    #[test]
    fn failures_count_after_the_first_time() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        assert_eq!(after(&[(1, 1), (1, 2), (-1, 9)]), (Starting, 0));
        assert_eq!(after(&[(1, 1), (1, 10)]), (Starting, 1));
        assert_eq!(after(&[(1, 10), (1, 11)]), (Unhealthy, 2));
        // Once it was healthy the first time is over.
        assert_eq!(after(&[(0, 1), (1, 2)]), (Healthy, 1));
        assert_eq!(after(&[(0, 1), (1, 2), (1, 3)]), (Unhealthy, 2));
        assert_eq!(after(&[(1, 10), (1, 11), (0, 12)]), (Healthy, 0));
    }

    #[test]
    fn checks_are_closer_together_at_first() {
        let starting = Health::default();
        let at = |health: &Health, seconds| CHECK.pause(health, Duration::from_secs(seconds));
        assert_eq!(at(&starting, 1), Duration::from_millis(500));
        assert_eq!(at(&starting, 10), Duration::from_secs(30));
        let healthy = Health {
            status: HealthStatus::Healthy,
            ..Health::default()
        };
        assert_eq!(at(&healthy, 1), Duration::from_secs(30));
    }

    #[test]
    fn changes_are_told_and_few_checks_are_kept() {
        let mut health = Health::default();
        assert!(health.take(&CHECK, probe(0), Duration::ZERO));
        for _ in 0..9 {
            assert!(!health.take(&CHECK, probe(0), Duration::ZERO));
        }
        assert_eq!(health.log.len(), LOG_MAX);
    }
}

//! Checks of the payload's health: when the next one is due, and what the running one says.
//!
//! Runs nothing: the monitor executes the check, and says how it went.

use std::time::{Duration, Instant};

use monitor_protocol::Timestamp;
use monitor_protocol::health::{Health, HealthCheck, HealthStatus, OUTPUT_MAX, Probe};
use monitor_protocol::message::{Exec, ExecStreams};

/// The checks of one container.
#[derive(Debug)]
pub(crate) struct Checkup {
    check: HealthCheck,
    health: Health,
    /// When the payload was started.
    since: Instant,
    step: Step,
}

/// What comes next.
#[derive(Debug)]
enum Step {
    /// A check, then.
    Due(Instant),
    /// Its end, at the latest then.
    Running(Running),
}

#[derive(Debug)]
struct Running {
    until: Instant,
    began_at: Timestamp,
    output: Vec<u8>,
    is_late: bool,
}

impl Checkup {
    /// From the payload's start.
    pub(crate) fn new(check: HealthCheck, now: Instant) -> Self {
        let health = Health::default();
        let first = now + check.pause(&health, Duration::ZERO);
        Self {
            check,
            health,
            since: now,
            step: Step::Due(first),
        }
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn check(&self) -> &HealthCheck {
        &self.check
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.health.status == HealthStatus::Healthy
    }

    pub(crate) fn is_unhealthy(&self) -> bool {
        self.health.status == HealthStatus::Unhealthy
    }

    /// When there is something to do again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.step {
            Step::Due(at) => Some(*at),
            Step::Running(running) => Some(running.until).filter(|_| !running.is_late),
        }
    }

    /// What is to be executed now, if a check is due.
    pub(crate) fn begin(&mut self, now: Instant, began_at: Timestamp) -> Option<Exec> {
        if !matches!(self.step, Step::Due(at) if at <= now) {
            return None;
        }
        self.step = Step::Running(Running {
            until: now + Duration::from_millis(self.check.timeout_ms),
            began_at,
            output: Vec::new(),
            is_late: false,
        });
        Some(Exec {
            command: self.check.command.clone(),
            environment: Vec::new(),
            user: None,
            working_directory: None,
            privileged: false,
            streams: ExecStreams::Pipes { input: false },
        })
    }

    /// Whether the running check is to be killed now.
    pub(crate) fn kills(&mut self, now: Instant) -> bool {
        match &mut self.step {
            Step::Running(running) if running.until <= now && !running.is_late => {
                running.is_late = true;
                true
            }
            _ => false,
        }
    }

    /// What the check writes; only its beginning is kept.
    pub(crate) fn output(&mut self, bytes: &[u8]) {
        if let Step::Running(running) = &mut self.step {
            let room = OUTPUT_MAX - running.output.len();
            running.output.extend(&bytes[..bytes.len().min(room)]);
        }
    }

    /// The check ended with an exit code, or could not be run for a reason. Gives back whether the status changed.
    pub(crate) fn end(
        &mut self,
        result: Result<u8, String>,
        now: Instant,
        ended_at: Timestamp,
    ) -> bool {
        let since_start = now.saturating_duration_since(self.since);
        let Step::Running(running) = &mut self.step else {
            return false;
        };
        let output = String::from_utf8_lossy(&running.output).into_owned();
        let seconds = Duration::from_millis(self.check.timeout_ms).as_secs_f32();
        let (exit_code, output) = match result {
            _ if running.is_late => (-1, format!("{output}it took longer than {seconds} s")),
            Ok(code) => (i32::from(code), output),
            Err(reason) => (-1, reason),
        };
        let probe = Probe {
            started_at: running.began_at,
            ended_at,
            exit_code,
            output,
        };
        let is_other = self.health.take(&self.check, probe, since_start);
        self.step = Step::Due(now + self.check.pause(&self.health, since_start));
        is_other
    }
}

#[cfg(test)]
mod tests {
    use monitor_protocol::health::OnFailure;

    use super::*;

    fn checkup(now: Instant) -> Checkup {
        let check = HealthCheck {
            command: vec!["true".to_owned()],
            interval_ms: 1000,
            timeout_ms: 500,
            retries: 2,
            start_period_ms: 0,
            start_interval_ms: 100,
            on_failure: OnFailure::None,
        };
        Checkup::new(check, now)
    }

    #[test]
    fn checks_come_one_after_the_other() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut checkup = checkup(start);
        assert!(checkup.begin(at(999), Timestamp(0)).is_none());
        let exec = checkup.begin(at(1000), Timestamp(1)).unwrap();
        assert_eq!(exec.command, ["true"]);
        assert!(checkup.begin(at(9000), Timestamp(2)).is_none());
        checkup.output(b"good");
        assert!(checkup.end(Ok(0), at(1100), Timestamp(3)));
        assert_eq!(checkup.health().status, HealthStatus::Healthy);
        assert_eq!(checkup.health().log[0].output, "good");
        assert_eq!(checkup.deadline(), Some(at(2100)));
    }

    #[test]
    fn a_late_check_is_killed_once_and_has_failed() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut checkup = checkup(start);
        checkup.begin(at(1000), Timestamp(1)).unwrap();
        assert!(!checkup.kills(at(1499)));
        assert!(checkup.kills(at(1500)));
        assert!(!checkup.kills(at(1501)));
        assert_eq!(checkup.deadline(), None);
        checkup.output(&[b'x'; 9000]);
        assert!(!checkup.end(Ok(0), at(1600), Timestamp(2)));
        let probe = &checkup.health().log[0];
        assert_eq!(probe.exit_code, -1);
        assert!(probe.output.ends_with("it took longer than 0.5 s"));
        checkup.begin(at(2600), Timestamp(1)).unwrap();
        assert!(checkup.end(Err("no such program".to_owned()), at(2700), Timestamp(2)));
        assert!(checkup.is_unhealthy());
    }
}

//! In which state a container is: what systemd says of its unit, and what its last run left.

use container_model::run_record::{RunEnd, RunRecord};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::human::{NEVER, duration, seconds_since, timestamp};

/// What the API tells of a run whose end nobody saw.
const UNKNOWN_CODE: u8 = 255;

/// A container's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has never run.
    Created,
    /// It runs.
    Running {
        /// Nanoseconds since 1970.
        started: u64,
        /// The payload's first process on the machine; none while it is told by nobody.
        pid: Option<u32>,
        /// Whether every process of it is frozen.
        is_paused: bool,
    },
    /// It ended, and systemd will start it again.
    Restarting(Past),
    /// It ran.
    Exited(Past),
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Nanoseconds since 1970.
    pub started: u64,
    /// None if nobody saw it.
    pub ended: Option<RunEnd>,
}

/// A unit as systemd tells of it: `ActiveState` and `SubState`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// Such as `active`.
    pub active: String,
    /// Such as `auto-restart`.
    pub sub: String,
}

impl UnitState {
    /// A unit that systemd does not know.
    pub fn unknown() -> Self {
        Self {
            active: "inactive".to_owned(),
            sub: "dead".to_owned(),
        }
    }

    /// Whether systemd waits before it starts it again.
    pub fn waits_for_restart(&self) -> bool {
        self.active == "activating" && self.sub.starts_with("auto-restart")
    }

    /// Whether nothing of it runs, nor will by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }
}

impl State {
    /// Of a unit and the last run.
    pub fn new(unit: &UnitState, run: Option<&RunRecord>, pid: Option<u32>) -> Self {
        let Some(run) = run else {
            return Self::Created;
        };
        let past = Past {
            started: run.started,
            ended: run.ended.clone(),
        };
        match unit.active.as_str() {
            _ if unit.waits_for_restart() => Self::Restarting(past),
            // Before the unit is active its former run is what there is, if it has ended.
            "active" | "reloading" | "deactivating" | "activating" if run.ended.is_none() => {
                Self::Running {
                    started: run.started,
                    pid,
                    is_paused: false,
                }
            }
            _ => Self::Exited(past),
        }
    }

    /// The same, of a container whose processes are frozen or not.
    #[must_use]
    pub fn with_paused(mut self, paused: bool) -> Self {
        if let Self::Running { is_paused, .. } = &mut self {
            *is_paused = paused;
        }
        self
    }

    /// Whether it is frozen.
    pub fn is_paused(&self) -> bool {
        matches!(
            self,
            Self::Running {
                is_paused: true,
                ..
            }
        )
    }

    /// The API's word.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running {
                is_paused: true, ..
            } => "paused",
            Self::Running { .. } => "running",
            Self::Restarting(_) => "restarting",
            Self::Exited(_) => "exited",
        }
    }

    /// Whether it runs now.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// Whether it runs, or will again by itself.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Restarting(_))
    }

    /// The last run's code; zero if there was none.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Created | Self::Running { .. } => 0,
            Self::Restarting(past) | Self::Exited(past) => past.code(),
        }
    }

    /// As `docker ps` has it.
    pub fn sentence(&self, now: Timestamp) -> String {
        let ago = |nanoseconds| duration(seconds_since(timestamp(nanoseconds), now));
        match self {
            Self::Created => "Created".to_owned(),
            Self::Running {
                started, is_paused, ..
            } => {
                let paused = if *is_paused { " (Paused)" } else { "" };
                format!("Up {}{paused}", ago(*started))
            }
            Self::Restarting(past) => {
                format!("Restarting ({}) {} ago", past.code(), ago(past.time()))
            }
            Self::Exited(past) => format!("Exited ({}) {} ago", past.code(), ago(past.time())),
        }
    }

    /// `State` of whoever inspects.
    pub fn inspect(&self, problem: &str) -> Value {
        let (started, ended, pid) = match self {
            Self::Created => (None, None, 0),
            Self::Running { started, pid, .. } => (Some(*started), None, pid.unwrap_or(0)),
            Self::Restarting(past) | Self::Exited(past) => {
                (Some(past.started), past.ended.as_ref().map(|end| end.at), 0)
            }
        };
        let time =
            |time: Option<u64>| time.map_or(NEVER.to_owned(), |time| timestamp(time).to_string());
        json!({
            "Status": self.status(),
            // To the API a container that waits for its restart runs.
            "Running": self.is_alive(),
            "Paused": self.is_paused(),
            "Restarting": matches!(self, Self::Restarting(_)),
            "OOMKilled": false,
            "Dead": false,
            "Pid": pid,
            "ExitCode": self.exit_code(),
            "Error": problem,
            "StartedAt": time(started),
            "FinishedAt": time(ended),
        })
    }
}

impl Past {
    /// The code it ended with.
    pub fn code(&self) -> u8 {
        self.ended.as_ref().map_or(UNKNOWN_CODE, |end| end.code)
    }

    fn time(&self) -> u64 {
        self.ended.as_ref().map_or(self.started, |end| end.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, sub: &str) -> UnitState {
        UnitState {
            active: active.to_owned(),
            sub: sub.to_owned(),
        }
    }

    fn run(ended: Option<u8>) -> RunRecord {
        RunRecord {
            started: 1_000_000_000_000_000_000,
            number: 1,
            ended: ended.map(|code| RunEnd {
                at: 1_000_000_060_000_000_000,
                code,
            }),
        }
    }

    #[test]
    fn units_and_runs_make_states() {
        let state = |active, sub, run: Option<RunRecord>| {
            State::new(&unit(active, sub), run.as_ref(), Some(7))
        };
        assert_eq!(state("inactive", "dead", None), State::Created);
        assert_eq!(state("activating", "start", None), State::Created);
        assert_eq!(
            state("active", "running", Some(run(None))).status(),
            "running"
        );
        assert_eq!(
            state("activating", "auto-restart", Some(run(Some(1)))).status(),
            "restarting"
        );
        assert_eq!(state("failed", "failed", Some(run(Some(3)))).exit_code(), 3);
        // The machine lost its power.
        let lost = state("inactive", "dead", Some(run(None)));
        assert_eq!((lost.status(), lost.exit_code()), ("exited", 255));
        // The record is written before the unit is over, the state follows the record.
        assert_eq!(
            state("deactivating", "stop-post", Some(run(Some(0)))).status(),
            "exited"
        );
    }

    #[test]
    fn sentences_are_dockers() {
        let now = timestamp(1_000_000_120_000_000_000);
        let running = State::new(&unit("active", "running"), Some(&run(None)), None);
        assert_eq!(running.sentence(now), "Up 2 minutes");
        let paused = running.with_paused(true);
        assert_eq!(paused.sentence(now), "Up 2 minutes (Paused)");
        assert_eq!((paused.status(), paused.is_alive()), ("paused", true));
        let exited = State::new(&UnitState::unknown(), Some(&run(Some(137))), None);
        assert_eq!(exited.sentence(now), "Exited (137) About a minute ago");
        let inspected = exited.inspect("");
        assert_eq!(inspected["FinishedAt"], "2001-09-09T01:47:40Z");
        assert_eq!(inspected["Running"], false);
    }
}

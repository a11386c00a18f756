//! How a container is, as its monitor tells it.
//!
//! What its monitor does not know, such as the unit's state, is asked of systemd.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::health::Health;

/// A container whose monitor lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The image's full name.
    pub image: String,
    /// The unit, without `.service`; none if it runs in a terminal.
    pub unit: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// The payload's number as the machine counts.
    pub pid: u32,
    /// When the monitor began.
    pub created_at: Timestamp,
    /// When the payload was started.
    pub started_at: Option<Timestamp>,
    /// Whether systemd was told that it is ready.
    pub ready: bool,
    /// If it is checked.
    pub health: Option<Health>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it has a standard input.
    pub input: bool,
    /// Its control group from the hierarchy's root, if it has one of its own.
    pub cgroup: Option<String>,
    /// Processes that clients execute in it, beside the payload's.
    pub executing: u32,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Created and held: [`Request::Start`](crate::Request::Start) lets it begin.
    Created,
    /// It runs.
    Running,
    /// Every process is frozen.
    Paused,
    /// It was told to end.
    Stopping,
}

impl State {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::FromMonitor;
    use crate::{Answer, Decoder};

    #[test]
    fn a_status_comes_as_it_was_sent() {
        let status = Status {
            name: "a".to_owned(),
            image: "b".to_owned(),
            unit: None,
            state: State::Paused,
            pid: 1,
            created_at: Timestamp(2),
            started_at: None,
            ready: false,
            health: Some(Health::default()),
            terminal: true,
            input: false,
            cgroup: Some("/a/payload".to_owned()),
            executing: 3,
        };
        let answer = Answer::Status(Box::new(status));
        let mut decoder = Decoder::default();
        decoder.push(&answer.encode());
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(
            FromMonitor::try_from(frame).unwrap(),
            FromMonitor::Answer(answer)
        );
    }
}

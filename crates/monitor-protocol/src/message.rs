//! What client and monitor say to each other, as JSON in frames.
//!
//! Unknown fields are errors: both sides come from one image, and a version says if not.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, Kind, encode};
use crate::{Exit, Malformed, Status, VERSION, WindowSize};

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the container is: [`Answer::Status`].
    Status,
    /// To be told whenever that changes: [`Answer::Status`], then events.
    Watch,
    /// Lets a payload that is held begin.
    Start,
    /// The payload's streams: [`Answer::Attached`], then frames.
    Attach(Attach),
    /// Another process in the container: [`Answer::Started`], then frames.
    Exec(Box<Exec>),
    /// A terminal has another size.
    Resize(WindowSize),
    /// A signal, by number.
    Kill {
        /// From 1 to 64.
        signal: i32,
    },
    /// Freezes every process of the container.
    Pause,
    /// Lets them go on.
    Unpause,
    /// On a connection that executes: the process is to stay when the client goes.
    Detach,
}

/// Which of the payload's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are four questions that have nothing to do with each other"
)]
pub struct Attach {
    /// Whether the client may send input; an error if the payload has none.
    pub input: bool,
    /// Whether it gets the standard output or the terminal.
    pub output: bool,
    /// Whether it gets the standard error.
    pub error: bool,
    /// Whether the payload waits if this client does not read, as with Docker; else the client loses output.
    pub wait: bool,
}

/// A process to execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program and its arguments; not empty.
    pub command: Vec<String>,
    /// Variables as `NAME=VALUE`, over those of the payload.
    pub environment: Vec<String>,
    /// `USER[:GROUP]` by name or number; the payload's if none.
    pub user: Option<String>,
    /// The payload's if none.
    pub working_directory: Option<String>,
    /// All capabilities, as with `docker exec --privileged`.
    pub privileged: bool,
    /// What it has as standard streams.
    pub streams: ExecStreams,
}

/// What a process has as standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExecStreams {
    /// None: it goes on when the client goes.
    Detached,
    /// Pipes.
    Pipes {
        /// Whether it has a standard input.
        input: bool,
    },
    /// A terminal of this size.
    Terminal {
        /// At its beginning.
        size: Option<WindowSize>,
    },
}

/// The one answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was not.
    Failed(Failure),
    /// How the container is.
    Status(Box<Status>),
    /// The client is attached from here on.
    Attached {
        /// Whether the payload has a terminal: output is then raw, and there is no standard error.
        terminal: bool,
    },
    /// The process runs.
    Started {
        /// Its number as the machine counts.
        pid: u32,
    },
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which sort of reason.
    pub kind: FailureKind,
    /// One line.
    pub reason: String,
}

/// Sorts of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request makes no sense, or is not of this version.
    Invalid,
    /// The container is not in a state for it: not started, paused, over, or without terminal or input.
    State,
    /// There is no such program in the container; Docker's exit code 127.
    NotFound,
    /// The program cannot be run; Docker's exit code 126.
    NotExecutable,
    /// Anything else that went wrong.
    Runtime,
}

/// What the monitor says without being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// Something changed; to clients that watch.
    Status(Box<Status>),
    /// The payload, or the process that this connection executed, ended; nothing comes after it.
    Exited(Exit),
    /// The client did not read in time: so many bytes of output are missing here.
    Lost {
        /// Of all its streams.
        bytes: u64,
    },
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromMonitor {
    /// Of the standard output or the terminal.
    Output(Vec<u8>),
    /// Of the standard error.
    Error(Vec<u8>),
    /// To the oldest request without one.
    Answer(Answer),
    /// Unasked.
    Event(Event),
}

/// What a monitor gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromClient {
    /// For the standard input or the terminal; empty at its end.
    Input(Vec<u8>),
    /// To be answered.
    Request(Request),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned<T> {
    version: u32,
    request: T,
}

/// What every version has.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Request {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        let versioned = Versioned {
            version: VERSION,
            request: self,
        };
        json(Kind::Request, &versioned)
    }
}

impl Answer {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        json(Kind::Answer, self)
    }

    /// A failure.
    pub fn failed(kind: FailureKind, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Failed(Failure { kind, reason })
    }
}

impl Event {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        json(Kind::Event, self)
    }
}

fn json<T: Serialize>(kind: Kind, value: &T) -> Vec<u8> {
    let text = serde_json::to_vec(value);
    encode(kind, &text.expect("our messages have no map with odd keys"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    Ok(serde_json::from_slice(bytes)?)
}

impl TryFrom<Frame> for FromMonitor {
    type Error = Malformed;

    fn try_from(frame: Frame) -> Result<Self, Malformed> {
        Ok(match frame.kind {
            Kind::Output => Self::Output(frame.bytes),
            Kind::Error => Self::Error(frame.bytes),
            Kind::Answer => Self::Answer(parse(&frame.bytes)?),
            Kind::Event => Self::Event(parse(&frame.bytes)?),
            other @ (Kind::Input | Kind::Request) => return Err(Malformed::Direction(other)),
        })
    }
}

impl TryFrom<Frame> for FromClient {
    type Error = Malformed;

    fn try_from(frame: Frame) -> Result<Self, Malformed> {
        match frame.kind {
            Kind::Input => Ok(Self::Input(frame.bytes)),
            Kind::Request => {
                let VersionOnly { version } = parse(&frame.bytes)?;
                if version != VERSION {
                    return Err(Malformed::Version(version));
                }
                let versioned: Versioned<Request> = parse(&frame.bytes)?;
                Ok(Self::Request(versioned.request))
            }
            other => Err(Malformed::Direction(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, Timestamp};

    fn frame(bytes: &[u8]) -> Frame {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(decoder.pending(), 0);
        frame
    }

    fn request(text: &str) -> Result<FromClient, Malformed> {
        FromClient::try_from(frame(&encode(Kind::Request, text.as_bytes())))
    }

    #[test]
    fn requests_come_as_they_were_sent() {
        let size = WindowSize {
            rows: 24,
            columns: 80,
        };
        let exec = Exec {
            command: vec!["sh".to_owned()],
            environment: vec!["A=1".to_owned()],
            user: Some("web:1".to_owned()),
            working_directory: None,
            privileged: false,
            streams: ExecStreams::Terminal { size: Some(size) },
        };
        let attach = Attach {
            input: true,
            output: true,
            error: false,
            wait: true,
        };
        for one in [
            Request::Status,
            Request::Watch,
            Request::Start,
            Request::Attach(attach),
            Request::Exec(Box::new(exec)),
            Request::Resize(size),
            Request::Kill { signal: 9 },
            Request::Pause,
            Request::Unpause,
            Request::Detach,
        ] {
            let found = FromClient::try_from(frame(&one.encode())).unwrap();
            assert_eq!(found, FromClient::Request(one));
        }
    }

    #[test]
    fn the_text_of_a_request_stays() {
        let text = r#"{"version":1,"request":{"kill":{"signal":15}}}"#;
        let kill = Request::Kill { signal: 15 };
        assert_eq!(kill.encode(), encode(Kind::Request, text.as_bytes()));
        assert_eq!(request(text).unwrap(), FromClient::Request(kill));
    }

    #[test]
    fn other_versions_and_fields_are_refused() {
        let later = r#"{"version":2,"request":{"dance":{}},"more":1}"#;
        assert!(matches!(request(later), Err(Malformed::Version(2))));
        for bad in [
            r#"{"version":1,"request":{"kill":{"signal":15,"force":true}}}"#,
            r#"{"version":1,"request":"dance"}"#,
            r#"{"version":1}"#,
            "",
        ] {
            assert!(matches!(request(bad), Err(Malformed::Message(_))), "{bad}");
        }
        let answer = frame(&Answer::Done.encode());
        assert!(matches!(
            FromClient::try_from(answer),
            Err(Malformed::Direction(Kind::Answer))
        ));
    }

    #[test]
    fn answers_and_events_come_as_they_were_sent() {
        for one in [
            Answer::Done,
            Answer::failed(FailureKind::NotFound, "no"),
            Answer::Attached { terminal: true },
            Answer::Started { pid: 7 },
        ] {
            let found = FromMonitor::try_from(frame(&one.encode())).unwrap();
            assert_eq!(found, FromMonitor::Answer(one));
        }
        let exit = Exit {
            code: 137,
            signal: Some(9),
            out_of_memory: true,
            ended_at: Timestamp(5),
        };
        for one in [Event::Exited(exit), Event::Lost { bytes: 3 }] {
            let found = FromMonitor::try_from(frame(&one.encode())).unwrap();
            assert_eq!(found, FromMonitor::Event(one));
        }
    }
}

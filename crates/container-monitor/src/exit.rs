//! How a container ended, and how the monitor ends in the same way.
//!
//! Waits for nothing.

use std::process::ExitCode;

use monitor_protocol::{Exit, Timestamp};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Docker's code for what went wrong before the payload.
pub(crate) const LAUNCHER_FAILED: u8 = 125;
/// Docker's code for a program that cannot be run.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// Docker's code for a program that is not there.
pub(crate) const NOT_FOUND: u8 = 127;

/// The end of a container, or of trying to start one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The payload returned.
    Exited(u8),
    /// A signal killed it.
    Killed(i32),
    /// The runtime could not start the payload. It said so on the payload's standard error, too.
    NotStarted {
        /// One of Docker's three.
        code: u8,
        /// One line.
        reason: String,
    },
    /// There was no payload.
    Failed {
        /// One line.
        reason: String,
    },
}

impl Ending {
    /// For what is no fault of the payload.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed {
            reason: reason.into(),
        }
    }

    /// Why there was no payload; nothing if there was.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::NotStarted { reason, .. } | Self::Failed { reason } => reason,
            Self::Exited(_) | Self::Killed(_) => "",
        }
    }

    /// As clients and the record get it.
    pub(crate) fn exit(&self, out_of_memory: bool, ended_at: Timestamp) -> Exit {
        let ending = match self {
            Self::Exited(code) | Self::NotStarted { code, .. } => Ok(*code),
            Self::Failed { .. } => Ok(LAUNCHER_FAILED),
            Self::Killed(signal) => Err(*signal),
        };
        Exit::new(ending, out_of_memory, ended_at)
    }

    /// Ends this process likewise. Of a payload that was killed systemd is to see the signal: SIGTERM is
    /// a clean end to it, and exit code 143 is not.
    pub(crate) fn end(self) -> ExitCode {
        match self {
            Self::Exited(code) | Self::NotStarted { code, .. } => ExitCode::from(code),
            Self::Failed { .. } => ExitCode::from(LAUNCHER_FAILED),
            Self::Killed(signal) => {
                // The core would be the monitor's.
                let none = Rlimit {
                    current: Some(0),
                    maximum: Some(0),
                };
                let _set = setrlimit(Resource::Core, none);
                let _raised = signal_hook::low_level::emulate_default_handler(signal);
                // Of a signal that does not kill, or cannot be raised.
                ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
            }
        }
    }
}

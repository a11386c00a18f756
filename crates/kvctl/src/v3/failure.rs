//! How a v3 command ends that did not do what it should: text on standard error, and etcdctl 3's codes.
//!
//! The texts of servers and of the client library come from there.
use std::process::ExitCode;

use kv_client::v3::Error;

/// etcdctl 3's exit codes.
pub(crate) mod exit_status {
    /// Refused, or failed.
    pub(crate) const ERROR: u8 = 1;
    /// No server could be talked to.
    pub(crate) const BAD_CONNECTION: u8 = 2;
    /// What was typed for a transaction or a watch makes no sense.
    pub(crate) const INVALID_INPUT: u8 = 3;
    /// A flag has a value that there is not.
    pub(crate) const BAD_FEATURE: u8 = 4;
    /// The server ended it.
    pub(crate) const INTERRUPTED: u8 = 5;
    /// A file failed.
    pub(crate) const IO: u8 = 6;
    /// Wrong arguments.
    pub(crate) const BAD_ARGUMENTS: u8 = 128;
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) status: u8,
    /// What is said; nothing if it was said already.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(status: u8, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    /// Wrong arguments.
    pub(crate) fn arguments(text: impl Into<String>) -> Self {
        Self::new(exit_status::BAD_ARGUMENTS, text)
    }

    /// Something else that is said in one line.
    #[allow(clippy::needless_pass_by_value)] // `map_err` gives it away
    pub(crate) fn plain(error: impl ToString) -> Self {
        Self::new(exit_status::ERROR, error.to_string())
    }

    /// Tells it and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("Error: {}", self.text);
        }
        ExitCode::from(self.status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Unavailable(_) => exit_status::BAD_CONNECTION,
            _ => exit_status::ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<crate::failure::Failure> for Failure {
    fn from(failure: crate::failure::Failure) -> Self {
        Self::plain(failure.text())
    }
}

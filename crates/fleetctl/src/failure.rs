//! How a command ends that did not do what it should.
//!
//! Texts are fleetctl's where it had one.

use std::process::ExitCode;

use fleet_api::ApiError;

/// What went wrong, in one text, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    status: u8,
}

impl Failure {
    /// Exit code 1.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            status: 1,
        }
    }

    /// With an exit code of its own.
    pub(crate) fn with_status(text: impl Into<String>, status: u8) -> Self {
        Self {
            text: text.into(),
            status,
        }
    }

    /// A function for `map_err` that says what was tried.
    pub(crate) fn on(what: impl std::fmt::Display) -> impl FnOnce(ApiError) -> Self {
        move |error| Self::new(format!("{what}: {}", with_advice(&error)))
    }

    /// Tells the user.
    pub(crate) fn report(self) -> ExitCode {
        if !self.text.is_empty() {
            eprintln!("{}", self.text);
        }
        ExitCode::from(self.status)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::new(with_advice(&error))
    }
}

impl From<std::io::Error> for Failure {
    /// Writing to standard output: whoever read it has gone, which is no error to be told.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::new("")
        } else {
            Self::new(format!("cannot write to standard output: {error}"))
        }
    }
}

/// What to do next, where that is known.
fn with_advice(error: &ApiError) -> String {
    match error {
        ApiError::Connect { .. } => {
            format!("{error}; is fleetd running there? --endpoint and --tunnel say where to ask")
        }
        ApiError::Timeout { .. } => format!("{error}; --request-timeout gives it longer"),
        _ => error.to_string(),
    }
}

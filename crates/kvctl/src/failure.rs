//! How a command ends that did not do what it should: text on standard error, and etcdctl's exit codes.
//!
//! The texts of servers and of the client library come from there.
use std::process::ExitCode;

use kv_client::Error;

use crate::arguments::Output;

/// etcdctl's exit codes.
pub(crate) mod exit_status {
    /// Wrong arguments, or a refusal that is not about keys.
    pub(crate) const ERROR: u8 = 1;
    /// No server could be talked to.
    pub(crate) const BAD_CONNECTION: u8 = 2;
    /// No such command.
    pub(crate) const UNKNOWN_COMMAND: u8 = 3;
    /// A server refused, or could not.
    pub(crate) const SERVER: u8 = 4;
    /// No member is healthy.
    pub(crate) const UNHEALTHY: u8 = 5;
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong arguments.
    Arguments(&'static str),
    /// Something else that is said in one line, as it is.
    Plain(String),
    /// A request about keys failed.
    Request(Error),
    /// A lock or a leadership is no longer held.
    Lost(String),
    /// Not even the members could be asked.
    Connection(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

impl Failure {
    /// A refusal of what is not about keys: etcdctl says it without a prefix.
    #[allow(clippy::needless_pass_by_value)] // `map_err` gives it away
    pub(crate) fn plain(error: impl ToString) -> Self {
        Self::Plain(error.to_string())
    }

    /// What it is, in one line.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Arguments(text) => (*text).to_owned(),
            Self::Plain(text) | Self::Lost(text) => text.clone(),
            Self::Request(error) | Self::Connection(error) => error.to_string(),
        }
    }

    /// Tells it and gives the exit code.
    pub(crate) fn report(self, output: Output) -> ExitCode {
        let status = match self {
            Self::Arguments(text) => {
                eprintln!("Error:  {text}");
                exit_status::ERROR
            }
            Self::Plain(text) => {
                eprintln!("{text}");
                exit_status::ERROR
            }
            Self::Lost(text) => {
                eprintln!("Error:  {text}");
                exit_status::SERVER
            }
            Self::Request(Error::Etcd(error)) if output == Output::Json => {
                // etcdctl means to do this as well; a slip makes it print its usual line.
                let text = serde_json::to_string(&error);
                eprintln!("{}", text.unwrap_or_else(|_| error.to_string()));
                exit_status::SERVER
            }
            Self::Request(Error::Config(error)) => {
                eprintln!("{error}");
                exit_status::ERROR
            }
            Self::Request(error) => {
                report_request(&error);
                exit_status::SERVER
            }
            Self::Connection(error) => {
                report_request(&error);
                exit_status::BAD_CONNECTION
            }
        };
        ExitCode::from(status)
    }
}

fn report_request(error: &Error) {
    eprintln!("Error:  {error}");
    for (number, attempt) in error.attempts().iter().enumerate() {
        eprintln!("error #{number}: {}", attempt.error);
    }
}

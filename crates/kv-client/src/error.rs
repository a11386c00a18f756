//! What can go wrong.
//!
//! The texts follow etcd's client where it has one, since scripts look for them.
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not an endpoint.
    #[error("`{text}` is not an endpoint: {reason}; write it like http://127.0.0.1:2379")]
    Endpoint {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// None was given.
    #[error("client: no endpoints available")]
    NoEndpoints,
    /// Credentials that cannot be sent.
    #[error("the user name `{0}` holds a colon, which HTTP's basic authentication cannot carry")]
    UserName(String),
    /// A PEM file cannot be used.
    #[error("cannot use {path} for TLS: {reason}", path = path.display())]
    TlsFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate without its key, or the reverse.
    #[error("a client certificate needs both its certificate file and its key file")]
    HalfCertificate,
    /// The TLS library refused the files' contents.
    #[error("the TLS files do not fit together: {0}")]
    Tls(String),
}

/// A refusal in etcd v2's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message} ({cause}) [{index}]")]
pub struct EtcdError {
    /// Its number, such as 100 for an absent key.
    #[serde(rename = "errorCode")]
    pub code: u64,
    /// What the number means.
    pub message: String,
    /// What it is about.
    #[serde(default)]
    pub cause: String,
    /// The index at which it was refused.
    #[serde(default)]
    pub index: u64,
}

impl EtcdError {
    /// Key not found.
    pub const KEY_NOT_FOUND: u64 = 100;
    /// A condition does not hold.
    pub const COMPARE_FAILED: u64 = 101;
    /// The key exists already.
    pub const KEY_EXISTS: u64 = 105;
    /// Not allowed, or not known.
    pub const UNAUTHORIZED: u64 = 110;
    /// The history does not reach back that far.
    pub const EVENT_CLEARED: u64 = 401;
}

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server refused it; nothing was changed unless the code is 300 or above.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The server refused a request that is not about keys.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// No endpoint could do it, and nothing was changed.
    #[error("client: etcd cluster is unavailable or misconfigured; {}", AttemptList(.0))]
    Unavailable(Vec<Attempt>),
    /// A change was sent, but whether it was made is not known. Read before trying again.
    #[error("whether the change was made is unknown; read before trying again: {}", AttemptList(.0))]
    OutcomeUnknown(Vec<Attempt>),
    /// The call took longer than it may, before anything was changed.
    #[error("context deadline exceeded: no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is not what etcd's API gives.
    #[error("{endpoint} gave an answer that makes no sense: {reason}")]
    InvalidAnswer {
        /// Who gave it.
        endpoint: Endpoint,
        /// What is wrong with it.
        reason: String,
    },
    /// The members have published no address for clients.
    #[error("the members of the cluster have published no endpoints for clients")]
    NoPublishedEndpoints,
}

impl Error {
    /// etcd's number, if the server gave one.
    pub fn code(&self) -> Option<u64> {
        match self {
            Self::Etcd(error) => Some(error.code),
            _ => None,
        }
    }

    /// What happened at each endpoint, if that is why.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Unavailable(attempts) | Self::OutcomeUnknown(attempts) => attempts,
            _ => &[],
        }
    }

    /// Whether no server could be talked to at all.
    pub fn is_connection(&self) -> bool {
        let talked = |attempt: &Attempt| matches!(attempt.error, AttemptError::Server { .. });
        match self {
            Self::Unavailable(attempts) => !attempts.iter().any(talked),
            Self::TimedOut(_) => true,
            _ => false,
        }
    }
}

/// What happened at one endpoint.
#[derive(Debug)]
pub struct Attempt {
    /// Where.
    pub endpoint: Endpoint,
    /// What.
    pub error: AttemptError,
}

/// Why one endpoint gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// It could not be reached; nothing was sent.
    #[error("dial tcp {address}: connect: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
    /// The request could not be written; nothing was sent.
    #[error("client: endpoint {0} closed the connection before the request was sent")]
    NotSent(Endpoint),
    /// The connection broke after the request was sent.
    #[error("client: endpoint {endpoint} broke the connection: {reason}")]
    Lost {
        /// Which.
        endpoint: Endpoint,
        /// How.
        reason: String,
    },
    /// It did not begin its answer in time.
    #[error("client: endpoint {0} exceeded header timeout")]
    HeaderTimeout(Endpoint),
    /// Its answer was longer than allowed.
    #[error("client: endpoint {endpoint} sent more than {limit} bytes; ask for less at once")]
    TooLong {
        /// Which.
        endpoint: Endpoint,
        /// Bytes allowed.
        limit: usize,
    },
    /// It is alive and cannot serve.
    #[error("client: etcd member {endpoint} cannot serve (status {status}): {message}")]
    Server {
        /// Which.
        endpoint: Endpoint,
        /// The HTTP status, 500 or above.
        status: u16,
        /// Its words.
        message: String,
    },
}

impl AttemptError {
    /// Whether the request certainly had no effect.
    pub const fn is_without_effect(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::NotSent(_))
    }
}

/// Attempts in etcd's client's form.
struct AttemptList<'a>(&'a [Attempt]);

impl fmt::Display for AttemptList<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, attempt) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(out, "{separator}error #{number}: {}", attempt.error)?;
        }
        Ok(())
    }
}

//! What can go wrong with the v3 API.
//!
//! Texts of servers are passed on as they are.
use std::time::Duration;

/// gRPC's code of a refusal.
pub use tonic::Code;

use crate::error::{Attempt, ConfigError};

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server refused it; nothing was changed.
    #[error("{message}")]
    Refused {
        /// gRPC's code.
        code: Code,
        /// The server's words.
        message: String,
    },
    /// No endpoint could be reached, or none would take it; nothing was changed.
    #[error("no endpoint can serve, and nothing was changed: {0}")]
    Unavailable(String),
    /// A change was sent, but whether it was made is not known. Read before trying again.
    #[error("whether the change was made is unknown; read before trying again: {0}")]
    OutcomeUnknown(String),
    /// The call took longer than it may, and changed nothing.
    #[error("context deadline exceeded: no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is not what etcd's API gives.
    #[error("the server's answer makes no sense: {0}")]
    InvalidAnswer(String),
}

impl Error {
    /// gRPC's code, if a server gave one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(super) fn unreachable(attempts: &[Attempt]) -> Self {
        let texts: Vec<String> = attempts.iter().map(|one| one.error.to_string()).collect();
        Self::Unavailable(texts.join("; "))
    }
}

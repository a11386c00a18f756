//! Why a call gave no answer.
//!
//! Texts name the server and what to do next where that is known.

use std::time::Duration;

use thiserror::Error;

/// Why a call gave no answer, or one that says no.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No connection.
    #[error("cannot connect to {endpoint}: {reason}")]
    Connect {
        /// The server.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The connection broke; what was asked for may have been done.
    #[error("lost the connection to {endpoint}: {reason}")]
    Lost {
        /// The server.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// No answer in time; what was asked for may be done yet.
    #[error("no answer from {endpoint} within {} s", timeout.as_secs_f64())]
    Timeout {
        /// The server.
        endpoint: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The server cannot serve now, has done nothing, and says when to ask again.
    #[error("{message}")]
    Unavailable {
        /// The server's words.
        message: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The server says no.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// The answer is not what the API says.
    #[error("{endpoint} does not answer as fleet's API does: {reason}")]
    NotTheApi {
        /// The server.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
}

impl ApiError {
    /// Whether the server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the same request may succeed later: the server is away, busy, or without its store.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 429 | 500 | 502..=504),
            Self::Connect { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::Unavailable { .. } => true,
            Self::NotTheApi { .. } => false,
        }
    }
}

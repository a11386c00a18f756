//! Errors as the API tells them: a status and one sentence.
//!
//! Which status is which kind of error is the API's choice, and clients decide by it.

use serde_json::json;
use thiserror::Error;

/// What is answered instead of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP's.
    pub status: u16,
    /// One sentence.
    pub message: String,
}

impl ApiError {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// The request is wrong, or asks for what there is not.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    /// It cannot be done in this state.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, message)
    }

    /// Something else failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    /// It is a part of the API that is not there.
    pub fn not_implemented(what: &str) -> Self {
        Self::new(501, format!("launcherd does not support {what}"))
    }

    /// It is so already; there is no body then.
    pub fn not_modified() -> Self {
        Self::new(304, "")
    }

    /// The body of the answer.
    pub fn body(&self) -> Vec<u8> {
        if self.status == 304 {
            return Vec::new();
        }
        let mut text = json!({"message": self.message}).to_string();
        text.push('\n');
        text.into_bytes()
    }
}

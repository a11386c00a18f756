//! A text that is not what an option wants: which text, what it should be, and why it is not.
//!
//! Does not know the option's name: whoever read the option says that.

use thiserror::Error;

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{value}` is no {what}: {reason}")]
pub struct Malformed {
    /// What it should have been.
    pub what: &'static str,
    /// As it was given.
    pub value: String,
    /// What is wrong with it, or what would be right.
    pub reason: String,
}

impl Malformed {
    /// About a value.
    pub fn new(what: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self {
            what,
            value: value.to_owned(),
            reason: reason.into(),
        }
    }
}

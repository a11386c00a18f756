//! What can go wrong with a store and with what is in it.
//!
//! A lost lease is not here: that is a state of the lease.

use thiserror::Error;

/// Why a call did not give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store cannot be reached or cannot serve. Nothing was changed; trying again later may help.
    #[error("the store cannot be reached, and nothing was changed: {0}")]
    Unavailable(String),
    /// A change was sent, and nobody knows whether it was made, or will be made yet. Read before trying
    /// again, and make sure that it cannot come later.
    #[error("whether the change was made is unknown: {0}")]
    OutcomeUnknown(String),
    /// The lease that keys were to be attached to has ended. Nothing was changed.
    #[error("the lease has ended, and nothing was changed")]
    LeaseGone,
    /// The store refuses; trying again would give the same. Nothing was changed.
    #[error("the store refuses: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whether it is certain that nothing was changed.
    pub fn is_without_effect(&self) -> bool {
        !matches!(self, Self::OutcomeUnknown(_))
    }
}

/// A value that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: no valid {kind}: {why}")]
pub struct ValueError {
    /// Where it is.
    pub key: String,
    /// What it should be.
    pub kind: &'static str,
    /// The parser's words.
    pub why: String,
}

//! fleet's three states of a unit, wanted or reached.
//!
//! What systemd says of a unit (active, failed) is another matter.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How far a unit is, or shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Known to the cluster, on no machine.
    Inactive,
    /// On a machine, known to its systemd.
    Loaded,
    /// Its start was called there.
    Launched,
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid state `{0}`: it must be inactive, loaded or launched")]
pub struct StateError(String);

impl State {
    /// As fleet's API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Loaded => "loaded",
            Self::Launched => "launched",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        let all = [Self::Inactive, Self::Loaded, Self::Launched];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| StateError(text.to_owned()))
    }
}

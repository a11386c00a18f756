//! Variables that a configuration uses, as `$private_ipv4`.
//!
//! Their values are in the plan where they stood.

use crate::variables::Unknown;

/// One that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VariableUse {
    /// Its name, without `$`.
    pub name: &'static str,
    /// What is done where it has no value.
    pub unknown: Unknown,
}

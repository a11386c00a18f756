//! What a machine's updates came to in all, for metrics: the history is bounded, these are not.
//!
//! Begins anew with the record that it stands in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::method::Method;
use crate::progress::Cause;

/// Counted since the record began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Bytes fetched for releases that were downloaded or installed, by the way their root came.
    pub fetched_bytes: BTreeMap<Method, u64>,
    /// Releases installed.
    pub installed: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Releases that were given up, by what ended them.
    pub rollbacks: BTreeMap<Cause, u64>,
    /// When an attempt did what it should, whether or not there was something to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// When an attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Timestamp>,
}

impl Totals {
    /// So many bytes were fetched.
    pub fn fetched(&mut self, method: Method, bytes: u64) {
        let total = self.fetched_bytes.entry(method).or_default();
        *total = total.saturating_add(bytes);
    }

    /// A release was given up.
    pub fn rolled_back(&mut self, cause: Cause) {
        let total = self.rollbacks.entry(cause).or_default();
        *total = total.saturating_add(1);
    }
}

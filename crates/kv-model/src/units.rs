//! Numbers that must not be mixed up: revisions, leases and points in time.
//!
//! They carry no meaning beyond their unit.
use serde::{Deserialize, Serialize};

/// The number of a change of state: etcd v2's index and etcd v3's revision. 0 is before the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A lease. etcd v3 never uses 0; a key without a lease has `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseId(pub i64);

/// Which grant a lease comes from: grants are counted, so that a number that is granted again makes
/// another lease.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LeaseEpoch(pub u64);

/// A point in time: nanoseconds since 1970-01-01 00:00 UTC, as the member's clock that was asked saw it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnixNanoseconds(pub i64);

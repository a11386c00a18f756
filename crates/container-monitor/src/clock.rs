//! The time of day, as the protocol counts it.
//!
//! Deadlines are kept by the monotonic clock, not by this one.

use std::time::SystemTime;

use monitor_protocol::Timestamp;

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

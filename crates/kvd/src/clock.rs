//! The machine's clock in the store's unit.
//!
//! Only for moments that are told or stored; durations are measured by [`std::time::Instant`].
use std::time::{SystemTime, UNIX_EPOCH};

use kv_model::UnixNanoseconds;

/// Now.
pub(crate) fn now() -> UnixNanoseconds {
    moment(SystemTime::now())
}

/// A moment; before 1970 all are the same.
pub(crate) fn moment(time: SystemTime) -> UnixNanoseconds {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixNanoseconds(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

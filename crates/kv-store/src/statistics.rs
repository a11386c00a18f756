//! Figures about a store, and how much room it has.
//!
//! How they are published is elsewhere.
use std::time::Duration;

use crate::error::FlushError;

/// Whether the store may be given more. Anything but `Enough` is a reason to refuse writes that
/// make it grow, before they are in the replicated log.
#[derive(Debug, Clone)]
pub enum SpaceState {
    /// There is room.
    Enough,
    /// There is less room than the reserve; everything still works.
    Low {
        /// What is left, in bytes.
        free_bytes: u64,
    },
    /// The last flush did not work. What was applied is kept in memory, and reads go on.
    Trouble(FlushError),
}

/// Upper bounds of the buckets of [`FlushFigures`], in seconds: etcd's.
pub const FLUSH_BUCKETS_SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192,
];

/// How long flushes took, from taking up the rows to their being durable.
#[derive(Debug, Clone, Default)]
pub struct FlushFigures {
    /// Flushes by the smallest bucket that holds them (not cumulative); longer ones are in none.
    pub buckets: [u64; FLUSH_BUCKETS_SECONDS.len()],
    /// All of them.
    pub count: u64,
    /// Their sum, in seconds.
    pub sum_seconds: f64,
}

impl FlushFigures {
    pub(crate) fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = FLUSH_BUCKETS_SECONDS
            .iter()
            .position(|bound| seconds <= *bound);
        if let Some(bucket) = bucket {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum_seconds += seconds;
    }
}

/// Figures about a store.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// The database file's length.
    pub database_bytes: u64,
    /// The history's files.
    pub history_bytes: u64,
    /// Rows in memory that the database does not have yet.
    pub delta_bytes: usize,
    /// Events in memory.
    pub recent_bytes: usize,
    /// How long flushes took.
    pub flushes: FlushFigures,
}

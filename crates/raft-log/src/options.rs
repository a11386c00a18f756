//! What can be set about a log.
//!
//! Defaults suit a small machine: an idle log has 8 MiB on the disk, a busy one grows to 64 MiB
//! segments with one more prepared.

use std::time::Duration;

use crate::format::{FIRST_RECORD, RECORD_HEADER_BYTES};

/// The largest segment that offsets in records can address comfortably.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Notes (votes, committed and purged positions) are a few dozen bytes; this is far more.
pub(crate) const NOTE_BYTES_MAX: usize = 4 * 1024;
/// Room for the state at a segment's beginning and for headers, on top of a payload.
const OVERHEAD_BYTES: u64 = (FIRST_RECORD + 4 * NOTE_BYTES_MAX + 4 * RECORD_HEADER_BYTES) as u64;

/// What is done about damage that cannot come from a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Damage {
    /// Opening fails and changes nothing.
    #[default]
    Refuse,
    /// Everything from the damage on is cut off. Entries and votes that were durable may be lost, so
    /// the member must not go on under its old identity: only for recovery by force.
    CutOff,
}

/// Sizes and habits of a log. Sizes that do not fit each other are raised when the log is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Size of the first segment, in bytes; each next one is twice as large.
    pub first_segment_bytes: u64,
    /// Up to this size, in bytes (at most 1 GiB).
    pub segment_bytes_max: u64,
    /// The largest payload of an entry, in bytes.
    pub payload_bytes_max: usize,
    /// On a full disk the log reports [`SpaceState::Full`](crate::SpaceState::Full) when less than
    /// this many bytes are left of what it preallocated.
    pub reserve_bytes: u64,
    /// How many bytes of recent payloads are kept in memory. What is not durable yet, and the last
    /// entry, are kept in any case.
    pub cache_bytes_max: usize,
    /// How long to wait on a full disk before room is tried for again.
    pub retry_interval: Duration,
    /// What is done about damage.
    pub damage: Damage,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            first_segment_bytes: 8 << 20,
            segment_bytes_max: 64 << 20,
            payload_bytes_max: 2 << 20,
            reserve_bytes: 2 << 20,
            cache_bytes_max: 8 << 20,
            retry_interval: Duration::from_secs(1),
            damage: Damage::Refuse,
        }
    }
}

impl Options {
    /// With sizes that fit each other: the reserve holds the largest record, and a segment twice
    /// the reserve.
    pub(crate) fn fitted(mut self) -> Self {
        let limit = usize::try_from(SEGMENT_BYTES_MAX / 4).unwrap_or(usize::MAX);
        self.payload_bytes_max = self.payload_bytes_max.min(limit);
        let record = self.payload_bytes_max as u64 + OVERHEAD_BYTES;
        self.reserve_bytes = self.reserve_bytes.clamp(record, SEGMENT_BYTES_MAX / 2);
        let least = 2 * self.reserve_bytes;
        self.first_segment_bytes = self.first_segment_bytes.clamp(least, SEGMENT_BYTES_MAX);
        self.segment_bytes_max = self
            .segment_bytes_max
            .clamp(self.first_segment_bytes, SEGMENT_BYTES_MAX);
        self
    }

    /// The size of the segment after one of `bytes`.
    pub(crate) fn next_segment_bytes(&self, bytes: u64) -> u64 {
        (bytes * 2).clamp(self.first_segment_bytes, self.segment_bytes_max)
    }
}

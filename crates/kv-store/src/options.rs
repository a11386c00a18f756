//! How a store is to behave.
//!
//! Only figures; each says what it bounds.
use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// How a store is to behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database's page cache, in bytes.
    pub cache_bytes: usize,
    /// Rows applied but not yet written to the database, in bytes. Half of it may be on its way to
    /// the disk while the other half is filled; then there is no room for more batches.
    pub delta_bytes_max: usize,
    /// How long an applied batch may wait before it is written to the database. Until then it
    /// exists in memory and in the replicated log.
    pub flush_interval: Duration,
    /// Events kept as objects in memory, in bytes.
    pub recent_bytes_max: usize,
    /// Events kept as objects in memory.
    pub recent_events_max: usize,
    /// What the history keeps.
    pub window: HistoryWindow,
    /// With less room on the disk than this, in bytes, [`crate::Store::space`] says so.
    pub reserve_bytes: u64,
    /// Views older than this refuse to be read: while one lives, the database cannot use the space
    /// of what was replaced.
    pub view_age_max: Duration,
    /// The same for snapshots.
    pub snapshot_age_max: Duration,
    /// Whether opening reads the whole database and compares its checksums.
    pub verify_at_open: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 16 * MIB,
            delta_bytes_max: 24 * MIB,
            flush_interval: Duration::from_secs(1),
            recent_bytes_max: 4 * MIB,
            recent_events_max: 4096,
            window: HistoryWindow::default(),
            reserve_bytes: 64 * MIB as u64,
            view_age_max: Duration::from_mins(5),
            snapshot_age_max: Duration::from_mins(30),
            verify_at_open: false,
        }
    }
}

impl Options {
    /// A flush begins at this many bytes even if the interval is not over.
    pub(crate) fn flush_bytes(&self) -> usize {
        self.delta_bytes_max / 4
    }

    /// There is no room for more batches while so many bytes are neither written nor on their way.
    pub(crate) fn pending_bytes_max(&self) -> usize {
        self.delta_bytes_max / 2
    }

    /// Events are written to the history's file (not yet synced) at this many bytes.
    pub(crate) fn spill_bytes(&self) -> usize {
        self.recent_bytes_max / 4
    }

    /// Nor while so many bytes of events are not in the history's file.
    pub(crate) fn unspilled_bytes_max(&self) -> usize {
        self.recent_bytes_max
    }
}

/// What the history keeps. Whole segments (a sixteenth of the bytes, an eighth of the events) are
/// forgotten at once, when something is written; what exceeds the window by less stays.
#[derive(Debug, Clone)]
pub struct HistoryWindow {
    /// At most so many bytes on disk.
    pub bytes_max: u64,
    /// At most so many events.
    pub events_max: Option<u64>,
    /// Only events younger than this.
    pub age_max: Option<Duration>,
}

impl Default for HistoryWindow {
    fn default() -> Self {
        Self {
            bytes_max: 64 * MIB as u64,
            events_max: None,
            age_max: None,
        }
    }
}

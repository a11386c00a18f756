//! The key-value store on disk: tables behind a bounded in-memory delta, the history of events, and
//! snapshots.
//!
//! Committed batches go into the delta ([`Store::apply`]), are visible at once, and are written to
//! the database by a thread of its own, as one durable transaction together with the progress they
//! stand for and the length of the history: whatever a crash loses, tables, history and
//! [`Store::durable_progress`] agree, and the replicated log is replayed from there exactly once.
//! Keys that are overwritten meanwhile are written once. Nobody needs to wait for the disk unless it is so
//! slow that the delta is full.
//!
//! A [`View`] is a consistent state at one moment. It costs a short lock and one reference count,
//! and it copies nothing: the delta is a stack of maps that are shared once a view holds them, so a
//! writer puts what comes later into a new one on top. Nothing is locked while a view is read.
//!
//! In the folder:
//! - `state.redb`: the tables; replaced as a whole when a snapshot is installed,
//! - `history-N/`: the events, in segments, of the database that says so,
//! - `lock`: held while the store is open.
//!
//! What rows and events mean is `kv-model`'s affair. Nothing here replicates, and nothing here
//! makes a batch durable when it is applied: that is what the replicated log is for.

mod backend;
mod base;
mod batch;
mod control;
mod database;
mod delta;
pub mod disk;
mod error;
pub mod file_disk;
mod flush;
pub mod history;
mod install;
mod layers;
pub mod memory_disk;
mod options;
mod recent;
mod record;
mod rows;
mod segments;
pub mod snapshot;
mod state;
pub mod statistics;
mod store;
mod view;

pub use batch::Batch;
pub use error::{FlushError, InstallError, OpenError};
pub use history::{History, HistoryError, HistoryLimit};
pub use options::{HistoryWindow, Options};
pub use snapshot::Snapshot;
pub use state::Progress;
pub use statistics::{SpaceState, Statistics};
pub use store::Store;
pub use view::{View, ViewTooOld};

//! Why opening, flushing or installing did not work.
//!
//! Errors of reading rows are `kv_model::TableError`; those of the history are beside it.
use std::io;
use std::path::PathBuf;

/// A store that does not open. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by another process: stop that one first", .0.display())]
    Locked(PathBuf),
    /// The file system refused.
    #[error("cannot use {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The database is not what was written.
    #[error("the database {} is damaged ({reason}): {REPLACE}", .path.display())]
    DatabaseDamaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The history is there, the database is not.
    #[error("the database {} is missing: {REPLACE}", .0.display())]
    DatabaseMissing(PathBuf),
    /// The history's files are not what the database says they are.
    #[error("the history {} is damaged ({reason}): {REPLACE}", .path.display())]
    HistoryDamaged {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Written by a later version.
    #[error("{} has format {found}, this program knows up to {known}: use the newer program", .path.display())]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest this program knows.
        known: u32,
    },
}

const REPLACE: &str = "move the data folder away and join this member anew, or restore a backup";

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}

/// What was applied could not be made durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FlushError {
    /// The disk is full. What was applied stays in memory and is tried again.
    #[error("no room left on the disk for {}: {reason}", .path.display())]
    NoSpace {
        /// The store's folder.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The disk failed. Nothing is written any more until the store is opened anew.
    #[error("cannot write to {}: {reason}; restart this member, and replace its disk if that does not help", .path.display())]
    Failed {
        /// The store's folder.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
}

/// A snapshot that was not installed. The store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It could not be read to its end.
    #[error("cannot read the snapshot after {frames} frames")]
    Read {
        /// Frames that were read before.
        frames: u64,
        /// What the reader said.
        #[source]
        source: io::Error,
    },
    /// It is not what was written.
    #[error("the snapshot is damaged at frame {frame}: {reason}; fetch it again")]
    Damaged {
        /// The frame's number, from 0.
        frame: u64,
        /// What was found.
        reason: String,
    },
    /// It was written by a later version.
    #[error(
        "the snapshot has format {found}, this program knows up to {known}: use the newer program"
    )]
    TooNew {
        /// Its format.
        found: u32,
        /// The latest this program knows.
        known: u32,
    },
    /// It could not be stored.
    #[error("cannot store the snapshot in {}", .path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl InstallError {
    pub(crate) fn store<E>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = path.into();
        |source| Self::Store {
            path,
            source: source.into(),
        }
    }
}

//! What can go wrong with a log, and where.
//!
//! It names no command that repairs: which one that is, the program knows.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was tried when storage gave an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Creating the log's folder.
    CreateFolder,
    /// Taking the folder for this log alone.
    Lock,
    /// Listing the folder.
    List,
    /// Making a new file.
    Create,
    /// Getting room for a new file.
    Allocate,
    /// Opening a file.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making what was written durable.
    Sync,
    /// Giving a new file its name.
    Rename,
    /// Removing a file.
    Remove,
    /// Making names durable.
    SyncFolder,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CreateFolder => "creating the folder",
            Self::Lock => "locking",
            Self::List => "listing",
            Self::Create => "creating",
            Self::Allocate => "reserving room for",
            Self::Open => "opening",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Sync => "syncing",
            Self::Rename => "renaming",
            Self::Remove => "removing",
            Self::SyncFolder => "syncing the folder",
        })
    }
}

/// Storage gave an error.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {} failed", path.display())]
pub struct Failure {
    /// What was tried.
    pub operation: Operation,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl Failure {
    /// For `map_err`.
    pub(crate) fn of(operation: Operation, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            operation,
            path,
            source,
        }
    }

    /// Whether the disk, or what this user may have of it, is full.
    pub fn is_full_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded)
    }
}

/// What should have stood where damage was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The first bytes of a segment, with a matching checksum.
    Preamble,
    /// A file of the length that its first bytes say.
    Length {
        /// That length in bytes.
        bytes: u64,
    },
    /// The record that follows the one before; intact records stand behind it.
    Record,
    /// An entry with a certain index.
    Entry {
        /// That index.
        index: u64,
    },
    /// A record whose content can be understood.
    Content,
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preamble => formatter.write_str("the beginning of a log segment"),
            Self::Length { bytes } => write!(formatter, "a file of {bytes} bytes"),
            Self::Record => formatter
                .write_str("the record that continues the log (durable records stand behind it)"),
            Self::Entry { index } => write!(formatter, "entry {index}"),
            Self::Content => formatter.write_str("a record that can be understood"),
        }
    }
}

/// Why a log could not be opened. Nothing on the disk was changed, unless it says `Storage`.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Storage gave an error.
    #[error("the log cannot be opened: {} {} failed", .0.operation, .0.path.display())]
    Storage(#[source] Failure),
    /// Another process has the log open.
    #[error("the log in {} is in use by another process", folder.display())]
    InUse {
        /// The log's folder.
        folder: PathBuf,
    },
    /// Something that was durable is damaged, and what follows it is not: cutting it off would
    /// lose what was promised to be kept. The caller adds which command goes on without this log.
    #[error("{} is damaged at byte {offset}: expected {expected}", file.display())]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Offset in it, in bytes.
        offset: u64,
        /// What should stand there.
        expected: Expected,
    },
    /// A segment that holds entries still needed is not there. The caller adds which command goes
    /// on without this log.
    #[error("{} is missing: it held entries that are still needed", file.display())]
    Missing {
        /// The segment.
        file: PathBuf,
    },
    /// A newer version of this software wrote the log.
    #[error("{} has format version {version}, this program reads up to {}: start the newer program again", file.display(), crate::format::VERSION)]
    Version {
        /// The segment.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl OpenError {
    /// Whether only going on without this log (or with what is left of it) helps: the caller then
    /// names the command for it.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Storage(failure)
    }
}

/// Why a log did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Storage gave an error at this or an earlier request. What was written last may or may not be
    /// durable, so nothing is retried, and nothing more is taken until the log is opened again.
    #[error("the log failed and takes nothing more until it is opened again: {} {} failed", .0.operation, .0.path.display())]
    Failed(#[source] Arc<Failure>),
    /// An entry cannot be read back. The log goes on.
    #[error("entry {index} cannot be read: {} {} failed", failure.operation, failure.path.display())]
    Unreadable {
        /// Its index.
        index: u64,
        /// What storage said.
        #[source]
        failure: Arc<Failure>,
    },
    /// An entry is not what was written. The log goes on.
    #[error("{} is damaged at byte {offset}: expected entry {index}", file.display())]
    Damaged {
        /// Its index.
        index: u64,
        /// The segment.
        file: PathBuf,
        /// Offset in it, in bytes.
        offset: u64,
    },
    /// Entries must follow each other without a gap. None of them was taken.
    #[error("entry {found} does not follow: expected entry {expected}")]
    Gap {
        /// The index that comes next.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// A payload or note is larger than the options allow. Nothing of the request was taken.
    #[error("{bytes} bytes are more than the log takes in one record ({bytes_max})")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The largest allowed, in bytes.
        bytes_max: usize,
    },
    /// The log was closed before.
    #[error("the log is closed")]
    Closed,
}

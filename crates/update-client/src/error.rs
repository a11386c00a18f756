//! What can go wrong while a release is read, and which file is to blame.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use disk_format::uki::UkiError;
use disk_format::verity::VerityError;
use seekable_zstd::SeekableError;
use thiserror::Error;
use update_model::channel::InvalidChannel;
use update_model::digest::FileDigest;
use update_model::manifest::InvalidManifest;
use update_model::version::Version;

/// A result of this crate.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// A release that cannot be read. Paths without a leading slash are below the release directory.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A file cannot be had from any source.
    #[error("cannot fetch {path} from {origin}")]
    Fetch {
        /// Which file.
        path: String,
        /// From where.
        origin: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TUF metadata is not to be trusted.
    #[error("{file}: the release directory's metadata is not accepted")]
    Metadata {
        /// The file that was read last, which is the one to blame.
        file: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The metadata names no such document.
    #[error("the release directory has no {0}")]
    NoTarget(String),
    /// A manifest is none.
    #[error("{path}")]
    Manifest {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: InvalidManifest,
    },
    /// A manifest is of another release than the one it was looked up for.
    #[error("{path} is of {found}, not of {expected}")]
    OtherRelease {
        /// Its path.
        path: String,
        /// What it is of.
        found: String,
        /// What it should be of.
        expected: String,
    },
    /// A channel document is none.
    #[error("{path}")]
    Channel {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: InvalidChannel,
    },
    /// A file is longer or shorter than its manifest says.
    #[error("{path} has {found} bytes, its manifest says {expected}")]
    Length {
        /// Which file.
        path: String,
        /// What it has.
        found: u64,
        /// What it should have.
        expected: u64,
    },
    /// A file is not the one of the manifest.
    #[error("{path} has SHA-256 {found}, its manifest says {expected}")]
    Digest {
        /// Which file.
        path: String,
        /// What it has.
        found: FileDigest,
        /// What it should have.
        expected: FileDigest,
    },
    /// A hash tree does not belong to its root hash, or data not to its tree.
    #[error("{path}")]
    Verity {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: VerityError,
    },
    /// Frames or their index are damaged.
    #[error("{path}")]
    Frames {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: SeekableError,
    },
    /// A file does not hold what its manifest, or another file, says.
    #[error("{path}: {problem}")]
    Contents {
        /// Which file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Data does not decompress.
    #[error("{path} does not decompress")]
    Decompress {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A kernel image is none.
    #[error("{path}")]
    BootImage {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: UkiError,
    },
    /// A static delta leads from something else than what is installed.
    #[error("the delta leads from {from}, whose {what} is not what is installed")]
    WrongBase {
        /// From which release.
        from: Version,
        /// What differs.
        what: &'static str,
    },
    /// A file or partition of this machine.
    #[error("cannot {action} {}", path.display())]
    Local {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The slot that is written, or the one that is copied from.
    #[error("cannot {action}")]
    Slot {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// HTTP or the runtime could not be set up.
    #[error("cannot set up {what}")]
    Setup {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ClientError {
    /// Whether what came was wrong, so that another mirror may do better.
    pub fn blames_the_source(&self) -> bool {
        matches!(
            self,
            Self::Length { .. }
                | Self::Digest { .. }
                | Self::Verity { .. }
                | Self::Frames { .. }
                | Self::Contents { .. }
                | Self::Decompress { .. }
        )
    }

    /// Whether a disk of this machine is full.
    pub fn is_disk_full(&self) -> bool {
        let (Self::Local { source, .. } | Self::Slot { source, .. }) = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

//! Why a release cannot be installed, or an installed one not gone back to.

use std::io;

use disk_format::gpt::GptError;
use disk_format::verity::RootHash;
use thiserror::Error;
use update_model::version::Version;

/// A result of this crate.
pub type Result<T, E = InstallError> = std::result::Result<T, E>;

/// What stands in the way. Unless it says otherwise, nothing was changed.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The partition table cannot be read or written.
    #[error("cannot {action} the disk's partition table")]
    Table {
        /// `read` or `write`.
        action: &'static str,
        /// Why.
        #[source]
        source: GptError,
    },
    /// The disk lacks a partition.
    #[error("the disk has no partition named {0}: it was not made by Keelson's builder")]
    NoPartition(String),
    /// No slot holds what runs.
    #[error("neither slot of the disk holds the running root, {0}")]
    NotHere(RootHash),
    /// The release is what runs.
    #[error(
        "the release's root, {0}, is the one that runs: installing it again would change nothing"
    )]
    SameRoot(RootHash),
    /// Another build of the running version.
    #[error(
        "the release calls itself {0}, as does what runs, but is another build: versions are unique"
    )]
    SameVersion(Version),
    /// The release is too old.
    #[error("{version} is older than {floor}, which this machine never goes below")]
    BelowFloor {
        /// The release's version.
        version: Version,
        /// The oldest that is taken.
        floor: Version,
    },
    /// The other slot holds the last version that was good.
    #[error(
        "{0} has yet to prove itself, and the other slot holds the version to fall back to: \
         `osctl status` shows its health"
    )]
    OnTrial(Version),
    /// The boot loader could not fall back to what runs.
    #[error(
        "EFI/Linux has no boot entry of the running version {0} that the boot loader would take"
    )]
    NoOwnEntry(Version),
    /// The boot entries cannot be read or changed.
    #[error("cannot {action} EFI/Linux/{name} on the EFI system partition")]
    Boot {
        /// What was tried.
        action: &'static str,
        /// Which file; empty for the folder itself.
        name: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A partition cannot be written.
    #[error("cannot write partition {partition}")]
    Partition {
        /// Its name.
        partition: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The root was not written.
    #[error("cannot write the root")]
    Root(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A version that cannot be part of a file's name.
    #[error("{0} cannot be a boot entry's version")]
    Version(String),
    /// There is nothing to go back to.
    #[error("the other slot holds no version that could be booted: {0}")]
    NothingElse(String),
}

impl InstallError {
    /// For `map_err`, of a boot entry.
    pub(crate) fn boot(action: &'static str, name: &str) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Boot {
            action,
            name,
            source,
        }
    }
}

//! What can be wrong with an EFI system partition.
//!
//! The partition is named by the caller: this crate only sees bytes at offsets.

use std::io;

use thiserror::Error;

/// A file system that cannot be made or opened, or an operation on it that failed.
#[derive(Debug, Error)]
pub enum EspError {
    /// FAT32 needs 65525 clusters, and offers 32 bits for the number of sectors.
    #[error("{length_bytes} bytes are too few or too many for a FAT32 file system")]
    Length {
        /// The length of the partition.
        length_bytes: u64,
    },
    /// The file system could not be made.
    #[error("cannot format the EFI system partition")]
    Format(#[source] io::Error),
    /// There is no FAT file system, or it is damaged.
    #[error("cannot open the file system of the EFI system partition")]
    Open(#[source] io::Error),
    /// It is an older kind of FAT, which Keelson never writes.
    #[error("the file system of the EFI system partition is not FAT32")]
    NotFat32,
    /// An operation on a path failed.
    #[error("cannot {action} /{path} on the EFI system partition")]
    Path {
        /// What was attempted.
        action: &'static str,
        /// The path, from the root directory on.
        path: String,
        /// What the file system or the device reported.
        #[source]
        source: io::Error,
    },
    /// The file system could not be closed, and is marked as in use.
    #[error("cannot close the file system of the EFI system partition")]
    Finish(#[source] io::Error),
}

impl EspError {
    pub(super) fn at(action: &'static str, path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Path {
            action,
            path,
            source,
        }
    }
}

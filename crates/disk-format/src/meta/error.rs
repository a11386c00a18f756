//! What can be wrong with the `meta` partition.
//!
//! The partition is named by the caller: this crate only sees bytes at offsets.

use std::io;

use thiserror::Error;

/// A boot record that could not be read or written.
#[derive(Debug, Error)]
pub enum MetaError {
    /// Neither copy can be used; writing a record repairs the partition.
    #[error("both copies of the boot record are unusable: the first {first}, the second {second}")]
    NoValidCopy {
        /// What is wrong with the copy at offset 0.
        first: CopyProblem,
        /// What is wrong with the copy at 64 KiB.
        second: CopyProblem,
    },
    /// The disk failed; the other copy of the record is untouched.
    #[error("cannot write the boot record at byte {offset_bytes} of the meta partition")]
    Write {
        /// Where in the partition, in bytes.
        offset_bytes: u64,
        /// What the disk reported.
        #[source]
        source: io::Error,
    },
}

/// Why one copy cannot be used.
#[derive(Debug, Error)]
pub enum CopyProblem {
    /// The disk failed, or the partition is too short.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// Something else is stored there.
    #[error("does not begin with the magic number")]
    Magic,
    /// It was not written completely, or was damaged since.
    #[error("has a wrong checksum")]
    Checksum,
    /// A later Keelson wrote it.
    #[error("has the unknown format version {0}")]
    Version(u32),
    /// Its checksum is right but its payload contradicts itself.
    #[error("has a malformed payload")]
    Payload,
}

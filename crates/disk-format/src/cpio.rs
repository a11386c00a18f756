//! The archive that the kernel unpacks as its initramfs: cpio's "new ASCII" format, `newc`.
//!
//! Format: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Does not
//! compress, and knows no hard links.

mod read;
#[cfg(test)]
mod tests;
mod write;

use thiserror::Error;

pub use read::{Entry, EntryKind, entries};
pub use write::Writer;

pub(crate) const MAGIC: &[u8; 6] = b"070701";
pub(crate) const HEADER_LENGTH: usize = 110;
pub(crate) const TRAILER: &str = "TRAILER!!!";

/// The file types of an entry's mode, as in `stat(2)`.
pub(crate) mod file_type {
    pub(crate) const MASK: u32 = 0o170_000;
    pub(crate) const CHARACTER_DEVICE: u32 = 0o020_000;
    pub(crate) const DIRECTORY: u32 = 0o040_000;
    pub(crate) const BLOCK_DEVICE: u32 = 0o060_000;
    pub(crate) const REGULAR: u32 = 0o100_000;
    pub(crate) const SYMLINK: u32 = 0o120_000;
}

/// An archive that cannot be written or read.
#[derive(Debug, Error)]
pub enum CpioError {
    /// The archive could not be written.
    #[error("cannot write {path} to the archive")]
    Write {
        /// The entry's path.
        path: String,
        /// What the stream reported.
        #[source]
        source: std::io::Error,
    },
    /// The kernel would not put it where it says.
    #[error("{0:?} is no path of an archive: it must be relative, without `.`, `..` or `//`")]
    Path(String),
    /// The kernel ignores entries whose directory does not exist yet.
    #[error("the directory of {0} is not in the archive before it")]
    MissingParent(String),
    /// Two entries have this path.
    #[error("{0} is in the archive already")]
    Duplicate(String),
    /// The format has 32 bits for a length.
    #[error("{path} has {length_bytes} bytes, more than the format can say")]
    TooLong {
        /// The entry's path.
        path: String,
        /// The length of its contents.
        length_bytes: u64,
    },
    /// The archive ends before its trailer.
    #[error("the archive is cut short in the entry at byte {offset_bytes}")]
    CutShort {
        /// Where the entry's header begins.
        offset_bytes: usize,
    },
    /// Something else than an uncompressed `newc` archive.
    #[error("there is no cpio header at byte {offset_bytes}; is the archive compressed?")]
    BadHeader {
        /// Where a header was expected.
        offset_bytes: usize,
    },
    /// A name or a link's target that is not UTF-8, or not ended by a zero.
    #[error("the entry at byte {offset_bytes} has a malformed name or target")]
    BadName {
        /// Where the entry's header begins.
        offset_bytes: usize,
    },
}

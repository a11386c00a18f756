//! What can be wrong with a partition table.
//!
//! The disk is named by the caller: this crate only sees bytes at offsets.

use std::io;

use thiserror::Error;

/// A partition table that could not be read, or cannot be written as described.
#[derive(Debug, Error)]
pub enum GptError {
    /// The disk failed while a table was written.
    #[error("cannot write the partition table at byte {offset_bytes}")]
    Write {
        /// Where on the disk, in bytes.
        offset_bytes: u64,
        /// What the disk reported.
        #[source]
        source: io::Error,
    },
    /// The disk's length could not be found out.
    #[error("cannot find out the length of the disk")]
    Length(#[source] io::Error),
    /// Neither copy of the table is usable.
    #[error("the disk has no valid partition table: primary: {primary}; backup: {backup}")]
    NoValidTable {
        /// What is wrong with the copy at the disk's start.
        primary: TableProblem,
        /// What is wrong with the copy at the disk's end.
        backup: TableProblem,
    },
    /// There is no room for two tables and a partition.
    #[error("a disk of {length_bytes} bytes is too small for a partition table")]
    DiskTooSmall {
        /// The length of the disk.
        length_bytes: u64,
    },
    /// A number outside 1 to 128.
    #[error("partition number {0} is outside 1 to 128")]
    Number(u32),
    /// The name does not fit its 36 UTF-16 code units.
    #[error("the name {name:?} of partition {number} is longer than 36 UTF-16 code units")]
    NameTooLong {
        /// The partition's number.
        number: u32,
        /// The name that does not fit.
        name: String,
    },
    /// The nil GUID marks an unused entry.
    #[error("partition {0} has the nil GUID for its type or itself")]
    NilGuid(u32),
    /// Start or length is no multiple of the sector size, or the length is zero.
    #[error(
        "partition {number} ({length_bytes} bytes at {start_bytes}) is empty or does not begin \
         and end at a sector"
    )]
    Unaligned {
        /// The partition's number.
        number: u32,
        /// Its first byte on the disk.
        start_bytes: u64,
        /// Its length.
        length_bytes: u64,
    },
    /// The partition overlaps one of the tables, or ends behind the disk.
    #[error(
        "partition {number} ({length_bytes} bytes at {start_bytes}) is outside the usable \
         {usable_start_bytes} to {usable_end_bytes}; is the disk too small?"
    )]
    OutsideUsable {
        /// The partition's number.
        number: u32,
        /// Its first byte on the disk.
        start_bytes: u64,
        /// Its length.
        length_bytes: u64,
        /// The first byte that a partition may use.
        usable_start_bytes: u64,
        /// The first byte that no partition may use.
        usable_end_bytes: u64,
    },
    /// Two partitions share bytes.
    #[error("partitions {first} and {second} overlap")]
    Overlap {
        /// The number of the one that begins first.
        first: u32,
        /// The number of the other.
        second: u32,
    },
    /// The crate `gpt` refused to encode an entry or a header.
    #[error("cannot encode the partition table")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why one of the two copies of a table cannot be used.
#[derive(Debug, Error)]
pub enum TableProblem {
    /// The disk is too short to have this copy.
    #[error("the disk is too small to hold it")]
    DiskTooSmall,
    /// No header, or a damaged one.
    #[error("header at byte {offset_bytes}: {problem}")]
    Header {
        /// Where the header was looked for.
        offset_bytes: u64,
        /// What the decoder said.
        problem: gpt::header::HeaderError,
    },
    /// The header is intact but was copied from another place.
    #[error("header at byte {offset_bytes} says that it belongs at sector {claimed_lba}")]
    Misplaced {
        /// Where the header was found.
        offset_bytes: u64,
        /// The sector that it names as its own.
        claimed_lba: u64,
    },
    /// Entries of a size or number that nothing writes.
    #[error("{count} entries of {length_bytes} bytes are not supported")]
    UnsupportedEntries {
        /// Entries according to the header.
        count: u32,
        /// Bytes of one entry according to the header.
        length_bytes: u32,
    },
    /// The entries cannot be read or do not have the checksum that the header states.
    #[error("entries at sector {lba}: {problem}")]
    Entries {
        /// Where the entries begin.
        lba: u64,
        /// What the decoder said.
        problem: io::Error,
    },
    /// An entry ends before it begins, or behind the last offset there is.
    #[error("partition {number} reaches from sector {first_lba} to {last_lba}")]
    Extent {
        /// The partition's number.
        number: u32,
        /// Its first sector.
        first_lba: u64,
        /// Its last sector.
        last_lba: u64,
    },
}

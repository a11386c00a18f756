//! GUID partition tables (UEFI specification 2.10, chapter 5), read and durably written.
//!
//! The structures are encoded and decoded by the crate `gpt`; this module adds the choice between
//! the two copies, the checks that crate leaves out and an order of writes that survives a power
//! cut. It does not create, resize or touch what is inside a partition.

mod decode;
mod encode;
mod error;
pub mod partition_type;
mod region;
mod sector_size;
mod table;
#[cfg(test)]
mod tests;

pub use crate::disk::Disk;
pub use error::{GptError, TableProblem};
pub use sector_size::{SectorSize, UnsupportedSectorSize};
pub use table::{Partition, PartitionTable, TableSource};

/// Entries in every table that is written; the least that UEFI allows.
pub(crate) const ENTRY_COUNT: u32 = 128;
/// Bytes of one entry; the only size in use anywhere.
pub(crate) const ENTRY_LENGTH_BYTES: u32 = 128;
/// Bytes of the array of entries.
pub(crate) const ENTRIES_LENGTH_BYTES: u64 = ENTRY_COUNT as u64 * ENTRY_LENGTH_BYTES as u64;
/// The logical block address of the primary header.
pub(crate) const PRIMARY_LBA: u64 = 1;

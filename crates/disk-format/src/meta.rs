//! The `meta` partition: a small record that /init keeps across boots, whatever happens to them.
//!
//! Two copies of 4096 bytes, at offset 0 and 64 KiB. A write goes to the older or damaged copy and
//! is synced, so a power cut leaves the record as it was or as it became. All numbers are little
//! endian:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 8 | magic, `KEELMETA` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | length of the payload in bytes |
//! | 16 | 8 | generation, counting from 1; the higher one is the newer copy |
//! | 24 | | payload, see `BootRecord`; the rest is zero |
//! | 4092 | 4 | CRC-32 (IEEE) of everything before it |
//!
//! A copy of nothing but zeros is an empty record of generation 0. Does not decide what a failed
//! boot is, or how many are too many.

mod boot_record;
mod copy;
mod error;
mod reset_order;
#[cfg(test)]
mod tests;

use std::io::{Read, Seek, SeekFrom};

pub use boot_record::{BootRecord, FAILED_BOOTS_LIMIT};
pub use error::{CopyProblem, MetaError};
pub use reset_order::{
    Identity, InvalidKeptPath, Kept, KeptPath, OrderTooLong, RESET_ORDER_LIMIT_BYTES,
    RESET_REMAINS, ResetOrder, STATE_PLACES,
};

use crate::disk::Disk;

/// How often a record was written; 0 is the blank one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

const COPY_OFFSETS_BYTES: [u64; 2] = [0, 64 * 1024];

/// The newest valid copy.
struct Newest {
    index: usize,
    record: BootRecord,
    generation: Generation,
}

impl BootRecord {
    /// Reads the newest valid copy; a blank partition gives the default record.
    ///
    /// # Errors
    /// Only if neither copy can be used.
    pub fn read<D: Read + Seek>(disk: &mut D) -> Result<(Self, Generation), MetaError> {
        let newest = read_newest(disk)?;
        Ok((newest.record, newest.generation))
    }

    /// Writes the next generation over the copy that is not the newest valid one, and syncs.
    ///
    /// A partition whose copies are both damaged is repaired by this.
    pub fn write<D: Disk>(&self, disk: &mut D) -> Result<Generation, MetaError> {
        let (index, generation) = match read_newest(disk) {
            Ok(newest) => (
                1 - newest.index,
                Generation(newest.generation.0.saturating_add(1)),
            ),
            Err(MetaError::NoValidCopy { .. }) => (0, Generation(1)),
            Err(error) => return Err(error),
        };
        let offset_bytes = COPY_OFFSETS_BYTES[index];
        let failed = |source| MetaError::Write {
            offset_bytes,
            source,
        };
        disk.seek(SeekFrom::Start(offset_bytes)).map_err(failed)?;
        disk.write_all(&copy::encode(self, generation))
            .map_err(failed)?;
        disk.sync().map_err(failed)?;
        Ok(generation)
    }
}

fn read_newest<D: Read + Seek>(disk: &mut D) -> Result<Newest, MetaError> {
    match (
        copy::read(disk, COPY_OFFSETS_BYTES[0]),
        copy::read(disk, COPY_OFFSETS_BYTES[1]),
    ) {
        (Ok(first), Ok(second)) if first.1 >= second.1 => Ok(newest(0, first)),
        (Ok(first), Err(_)) => Ok(newest(0, first)),
        (_, Ok(second)) => Ok(newest(1, second)),
        (Err(first), Err(second)) => Err(MetaError::NoValidCopy { first, second }),
    }
}

fn newest(index: usize, (record, generation): (BootRecord, Generation)) -> Newest {
    Newest {
        index,
        record,
        generation,
    }
}

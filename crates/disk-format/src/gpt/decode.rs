//! One copy of a table, from a disk.
//!
//! Does not decide which copy to trust.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use super::{ENTRY_LENGTH_BYTES, PRIMARY_LBA, Partition, PartitionTable, SectorSize, TableProblem};
use crate::window::Window;

/// More entries than this are taken for damage: an allocation must not follow a number on a disk.
const ENTRY_COUNT_LIMIT: u32 = 1024;

/// One valid copy.
pub(super) struct Decoded {
    pub(super) table: PartitionTable,
    /// Where this copy says that the other one is.
    pub(super) other_lba: u64,
}

/// Reads the copy whose header is at `header_lba`.
pub(super) fn table<D: Read + Seek>(
    disk: &mut D,
    sector_size: SectorSize,
    header_lba: u64,
) -> Result<Decoded, TableProblem> {
    let header = read_header(disk, sector_size, header_lba)?;
    let entries =
        gpt::partition::file_read_partitions(disk, &header, sector_size.logical_block_size())
            .map_err(|problem| TableProblem::Entries {
                lba: header.part_start,
                problem,
            })?;
    let partitions = entries
        .iter()
        .filter(|(_, entry)| entry.is_used())
        .map(|(number, entry)| Ok((*number, partition(*number, entry, sector_size)?)))
        .collect::<Result<BTreeMap<_, _>, TableProblem>>()?;
    let table = PartitionTable {
        disk_guid: header.disk_guid,
        sector_size,
        partitions,
    };
    Ok(Decoded {
        table,
        other_lba: header.backup_lba,
    })
}

fn read_header<D: Read + Seek>(
    disk: &mut D,
    sector_size: SectorSize,
    header_lba: u64,
) -> Result<gpt::header::Header, TableProblem> {
    let bytes = sector_size.bytes();
    let offset_bytes = header_lba
        .checked_mul(bytes)
        .ok_or(TableProblem::DiskTooSmall)?;
    let damaged = |problem| TableProblem::Header {
        offset_bytes,
        problem,
    };
    // The decoder only looks at sector 1, so this header's sector is shown to it as that.
    let start_bytes = (header_lba - PRIMARY_LBA) * bytes;
    let mut window =
        Window::new(disk, start_bytes, bytes * 2).map_err(|error| damaged(error.into()))?;
    let header = gpt::header::read_header_from_arbitrary_device(
        &mut window,
        sector_size.logical_block_size(),
    )
    .map_err(damaged)?;
    if header.current_lba != header_lba {
        return Err(TableProblem::Misplaced {
            offset_bytes,
            claimed_lba: header.current_lba,
        });
    }
    if header.part_size != ENTRY_LENGTH_BYTES || header.num_parts > ENTRY_COUNT_LIMIT {
        return Err(TableProblem::UnsupportedEntries {
            count: header.num_parts,
            length_bytes: header.part_size,
        });
    }
    Ok(header)
}

fn partition(
    number: u32,
    entry: &gpt::partition::Partition,
    sector_size: SectorSize,
) -> Result<Partition, TableProblem> {
    let extent = || TableProblem::Extent {
        number,
        first_lba: entry.first_lba,
        last_lba: entry.last_lba,
    };
    let in_bytes = |sectors: u64| sectors.checked_mul(sector_size.bytes()).ok_or_else(extent);
    let end_lba = entry.last_lba.checked_add(1).ok_or_else(extent)?;
    let start_bytes = in_bytes(entry.first_lba)?;
    let length_bytes = in_bytes(end_lba)?
        .checked_sub(start_bytes)
        .ok_or_else(extent)?;
    Ok(Partition {
        type_guid: entry.part_type_guid.guid,
        guid: entry.part_guid,
        name: entry.name.clone(),
        attributes: entry.flags,
        start_bytes,
        length_bytes,
    })
}

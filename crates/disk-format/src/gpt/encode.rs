//! The protective MBR and the two copies of a table, as bytes.
//!
//! Does not write to the disk: the order in which the pieces go there is `table`'s business.

use std::error::Error;

use super::region::Region;
use super::{
    ENTRIES_LENGTH_BYTES, ENTRY_COUNT, ENTRY_LENGTH_BYTES, GptError, PRIMARY_LBA, PartitionTable,
    SectorSize,
};

/// Where things stand on a disk of some length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    sector_size: SectorSize,
    last_lba: u64,
}

/// Bytes and their place on the disk.
pub(super) struct Piece {
    pub(super) offset_bytes: u64,
    pub(super) contents: Vec<u8>,
}

impl Geometry {
    pub(super) fn new(sector_size: SectorSize, disk_length_bytes: u64) -> Result<Self, GptError> {
        let sectors = disk_length_bytes / sector_size.bytes();
        let geometry = Self {
            sector_size,
            last_lba: sectors.saturating_sub(1),
        };
        // MBR, two headers, two arrays, and one sector to use.
        if sectors < 3 + 2 * geometry.entries_sectors() + 1 {
            return Err(GptError::DiskTooSmall {
                length_bytes: disk_length_bytes,
            });
        }
        Ok(geometry)
    }

    fn entries_sectors(self) -> u64 {
        ENTRIES_LENGTH_BYTES / self.sector_size.bytes()
    }

    /// Where the backup header belongs.
    pub(super) fn last_lba(self) -> u64 {
        self.last_lba
    }

    fn first_usable_lba(self) -> u64 {
        PRIMARY_LBA + 1 + self.entries_sectors()
    }

    fn backup_entries_lba(self) -> u64 {
        self.last_lba - self.entries_sectors()
    }

    /// The first byte that a partition may use.
    pub(super) fn usable_start_bytes(self) -> u64 {
        self.first_usable_lba() * self.sector_size.bytes()
    }

    /// The first byte behind all that a partition may use.
    pub(super) fn usable_end_bytes(self) -> u64 {
        self.backup_entries_lba() * self.sector_size.bytes()
    }
}

/// The whole of sector 0, which keeps tools that know only MBRs from taking the disk for empty.
pub(super) fn protective_mbr(geometry: Geometry) -> Piece {
    // Larger disks than the field can say are covered by its largest value (UEFI, 5.2.3).
    let sectors = u32::try_from(geometry.last_lba).unwrap_or(u32::MAX);
    let mut contents = gpt::mbr::ProtectiveMBR::with_lb_size(sectors)
        .to_bytes()
        .to_vec();
    contents.resize(geometry.sector_size.bytes_usize(), 0);
    Piece {
        offset_bytes: 0,
        contents,
    }
}

/// Header, then entries, at the disk's start.
pub(super) fn primary(table: &PartitionTable, geometry: Geometry) -> Result<Piece, GptError> {
    let mut header = header(table, geometry);
    let mut region = copy_region(geometry, PRIMARY_LBA);
    write_entries(table, &mut region, header.part_start)?;
    header
        .write_primary(&mut region, geometry.sector_size.logical_block_size())
        .map_err(encode)?;
    Ok(piece(geometry, PRIMARY_LBA, region))
}

/// Entries, then header, at the disk's end.
pub(super) fn backup(table: &PartitionTable, geometry: Geometry) -> Result<Piece, GptError> {
    let mut header = header(table, geometry);
    header.current_lba = geometry.last_lba;
    header.backup_lba = PRIMARY_LBA;
    header.part_start = geometry.backup_entries_lba();
    let mut region = copy_region(geometry, header.part_start);
    write_entries(table, &mut region, header.part_start)?;
    header
        .write_backup(&mut region, geometry.sector_size.logical_block_size())
        .map_err(encode)?;
    Ok(piece(geometry, geometry.backup_entries_lba(), region))
}

fn copy_region(geometry: Geometry, lba: u64) -> Region {
    let entries = (ENTRY_COUNT * ENTRY_LENGTH_BYTES) as usize;
    let sector = geometry.sector_size.bytes_usize();
    Region::new(lba * geometry.sector_size.bytes(), entries + sector)
}

fn piece(geometry: Geometry, lba: u64, region: Region) -> Piece {
    Piece {
        offset_bytes: lba * geometry.sector_size.bytes(),
        contents: region.into_bytes(),
    }
}

/// The primary header; checksums are filled in when it is written.
fn header(table: &PartitionTable, geometry: Geometry) -> gpt::header::Header {
    // Not with the crate's builder: that draws a random GUID first.
    gpt::header::Header {
        signature: "EFI PART".to_owned(),
        revision: (1, 0),
        header_size_le: 92,
        crc32: 0,
        reserved: 0,
        current_lba: PRIMARY_LBA,
        backup_lba: geometry.last_lba,
        first_usable: geometry.first_usable_lba(),
        last_usable: geometry.backup_entries_lba() - 1,
        disk_guid: table.disk_guid,
        part_start: PRIMARY_LBA + 1,
        num_parts: ENTRY_COUNT,
        part_size: ENTRY_LENGTH_BYTES,
        crc32_parts: 0,
    }
}

fn write_entries(
    table: &PartitionTable,
    region: &mut Region,
    entries_lba: u64,
) -> Result<(), GptError> {
    let sector_bytes = table.sector_size.bytes();
    for (number, partition) in &table.partitions {
        let entry = gpt::partition::Partition {
            part_type_guid: partition.type_guid.into(),
            part_guid: partition.guid,
            first_lba: partition.start_bytes / sector_bytes,
            last_lba: partition.end_bytes() / sector_bytes - 1,
            flags: partition.attributes,
            name: partition.name.clone(),
        };
        let index = u64::from(*number) - 1;
        let block = table.sector_size.logical_block_size();
        entry
            .write_to_device(region, index, entries_lba, block, ENTRY_LENGTH_BYTES)
            .map_err(encode)?;
    }
    Ok(())
}

fn encode(error: impl Error + Send + Sync + 'static) -> GptError {
    GptError::Encode(Box::new(error))
}

//! A partition table as a value, and its way from and to a disk.
//!
//! Does not tell the kernel that a table changed.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use uuid::Uuid;

use super::encode::{self, Geometry, Piece};
use super::{Disk, ENTRY_COUNT, GptError, PRIMARY_LBA, SectorSize, TableProblem, decode};

const MIB: u64 = 1024 * 1024;
const NAME_LIMIT_UTF16_UNITS: usize = 36;

/// One entry of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What the partition is for, see [`super::partition_type`].
    pub type_guid: Uuid,
    /// What tells it from every other partition (`PARTUUID`).
    pub guid: Uuid,
    /// Its label, at most 36 UTF-16 code units (`PARTLABEL`).
    pub name: String,
    /// Attribute bits, as the UEFI specification and the type define them.
    pub attributes: u64,
    /// Its first byte on the disk, a multiple of the sector size.
    pub start_bytes: u64,
    /// Its length, a multiple of the sector size.
    pub length_bytes: u64,
}

/// All of a disk's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTable {
    /// What tells this disk from every other.
    pub disk_guid: Uuid,
    /// The logical sector size of the disk.
    pub sector_size: SectorSize,
    /// The partitions by their number, which counts from 1.
    pub partitions: BTreeMap<u32, Partition>,
}

/// Which copy a table was read from.
#[derive(Debug)]
pub enum TableSource {
    /// The one at the disk's start.
    Primary,
    /// The one at the disk's end; the primary should be written again.
    Backup {
        /// What is wrong with the primary.
        primary: TableProblem,
    },
}

impl Partition {
    /// The first byte behind the partition.
    pub fn end_bytes(&self) -> u64 {
        self.start_bytes.saturating_add(self.length_bytes)
    }
}

impl PartitionTable {
    /// Reads the primary table, or the backup at the disk's end if the primary is not valid.
    pub fn read<D: Read + Seek>(disk: &mut D, sector_size: SectorSize) -> Result<Self, GptError> {
        Self::read_with_source(disk, sector_size).map(|(table, _)| table)
    }

    /// As [`PartitionTable::read`], and says which copy it was.
    pub fn read_with_source<D: Read + Seek>(
        disk: &mut D,
        sector_size: SectorSize,
    ) -> Result<(Self, TableSource), GptError> {
        let primary = match decode::table(disk, sector_size, PRIMARY_LBA) {
            Ok(decoded) => return Ok((decoded.table, TableSource::Primary)),
            Err(problem) => problem,
        };
        let length_bytes = disk.seek(SeekFrom::End(0)).map_err(GptError::Length)?;
        match read_backup(disk, sector_size, length_bytes) {
            Ok(decoded) => Ok((decoded.table, TableSource::Backup { primary })),
            Err(backup) => Err(GptError::NoValidTable { primary, backup }),
        }
    }

    /// Writes the protective MBR and the backup at the disk's end, then the primary.
    ///
    /// The disk is synced between the two and at the end: whenever the power fails, one of the
    /// copies is valid, and holds the old table or the new one.
    pub fn write<D: Disk>(&self, disk: &mut D, disk_length_bytes: u64) -> Result<(), GptError> {
        let geometry = Geometry::new(self.sector_size, disk_length_bytes)?;
        self.check(geometry)?;
        let backup = encode::backup(self, geometry)?;
        let primary = encode::primary(self, geometry)?;
        write_pieces(disk, &[encode::protective_mbr(geometry), backup])?;
        write_pieces(disk, &[primary])
    }

    /// The partition with this label, and its number.
    pub fn by_name(&self, name: &str) -> Option<(u32, &Partition)> {
        let (number, partition) = self.partitions.iter().find(|(_, p)| p.name == name)?;
        Some((*number, partition))
    }

    /// Extends the partition that is last on the disk to the last usable MiB boundary.
    ///
    /// `true` if that changed it. It never shrinks, and nothing is written.
    pub fn grow_last(&mut self, disk_length_bytes: u64) -> Result<bool, GptError> {
        let geometry = Geometry::new(self.sector_size, disk_length_bytes)?;
        let end_bytes = geometry.usable_end_bytes() / MIB * MIB;
        let last = self
            .partitions
            .values_mut()
            .max_by_key(|partition| partition.start_bytes);
        let Some(last) = last.filter(|partition| partition.end_bytes() < end_bytes) else {
            return Ok(false);
        };
        last.length_bytes = end_bytes - last.start_bytes;
        Ok(true)
    }

    /// Is there a backup at the end of a disk of this length, and does the primary know of it?
    ///
    /// `false` after an image was written to a disk larger than itself, even if an older table's
    /// backup stands there; [`PartitionTable::write`] then puts it right.
    pub fn backup_is_at_end<D: Read + Seek>(
        disk: &mut D,
        sector_size: SectorSize,
        disk_length_bytes: u64,
    ) -> Result<bool, GptError> {
        let last_lba = Geometry::new(sector_size, disk_length_bytes)?.last_lba();
        let primary = decode::table(disk, sector_size, PRIMARY_LBA);
        let known = primary.is_ok_and(|decoded| decoded.other_lba == last_lba);
        Ok(known && decode::table(disk, sector_size, last_lba).is_ok())
    }

    fn check(&self, geometry: Geometry) -> Result<(), GptError> {
        for (number, partition) in &self.partitions {
            check_entry(*number, partition)?;
            check_extent(*number, partition, self.sector_size, geometry)?;
        }
        self.check_overlaps()
    }

    fn check_overlaps(&self) -> Result<(), GptError> {
        let mut by_start: Vec<_> = self.partitions.iter().collect();
        by_start.sort_by_key(|(_, partition)| partition.start_bytes);
        let overlap = by_start
            .windows(2)
            .find(|w| w[0].1.end_bytes() > w[1].1.start_bytes);
        match overlap {
            Some(pair) => Err(GptError::Overlap {
                first: *pair[0].0,
                second: *pair[1].0,
            }),
            None => Ok(()),
        }
    }
}

fn check_entry(number: u32, partition: &Partition) -> Result<(), GptError> {
    if number == 0 || number > ENTRY_COUNT {
        return Err(GptError::Number(number));
    }
    if partition.type_guid.is_nil() || partition.guid.is_nil() {
        return Err(GptError::NilGuid(number));
    }
    // The encoder would cut the name short.
    if partition.name.encode_utf16().count() > NAME_LIMIT_UTF16_UNITS {
        return Err(GptError::NameTooLong {
            number,
            name: partition.name.clone(),
        });
    }
    Ok(())
}

fn check_extent(
    number: u32,
    partition: &Partition,
    sector_size: SectorSize,
    geometry: Geometry,
) -> Result<(), GptError> {
    let Partition {
        start_bytes,
        length_bytes,
        ..
    } = *partition;
    let aligned = |bytes: u64| bytes.is_multiple_of(sector_size.bytes());
    if length_bytes == 0 || !aligned(start_bytes) || !aligned(length_bytes) {
        return Err(GptError::Unaligned {
            number,
            start_bytes,
            length_bytes,
        });
    }
    let usable_start_bytes = geometry.usable_start_bytes();
    let usable_end_bytes = geometry.usable_end_bytes();
    if start_bytes < usable_start_bytes || partition.end_bytes() > usable_end_bytes {
        return Err(GptError::OutsideUsable {
            number,
            start_bytes,
            length_bytes,
            usable_start_bytes,
            usable_end_bytes,
        });
    }
    Ok(())
}

fn read_backup<D: Read + Seek>(
    disk: &mut D,
    sector_size: SectorSize,
    length_bytes: u64,
) -> Result<decode::Decoded, TableProblem> {
    let geometry =
        Geometry::new(sector_size, length_bytes).map_err(|_| TableProblem::DiskTooSmall)?;
    decode::table(disk, sector_size, geometry.last_lba())
}

fn write_pieces<D: Disk>(disk: &mut D, pieces: &[Piece]) -> Result<(), GptError> {
    for Piece {
        offset_bytes,
        contents,
    } in pieces
    {
        let failed = |source| GptError::Write {
            offset_bytes: *offset_bytes,
            source,
        };
        disk.seek(SeekFrom::Start(*offset_bytes)).map_err(failed)?;
        disk.write_all(contents).map_err(failed)?;
    }
    let offset_bytes = pieces.last().map_or(0, |piece| piece.offset_bytes);
    disk.sync().map_err(|source| GptError::Write {
        offset_bytes,
        source,
    })
}

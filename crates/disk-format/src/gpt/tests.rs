//! Tables against `sgdisk`, against hand-read bytes, damage, and power cuts.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::process::Command;

use uuid::uuid;

use super::*;
use crate::recording_disk::RecordingDisk;
use crate::test_tools::{file_of, run_tool};

const MIB: u64 = 1024 * 1024;
const DISK_BYTES: u64 = 8 * MIB;
const SECTOR_SIZES: [SectorSize; 2] = [SectorSize::Bytes512, SectorSize::Bytes4096];

fn table(sector_size: SectorSize) -> PartitionTable {
    let partition = |name: &str, type_guid, guid, start_bytes, length_bytes| Partition {
        type_guid,
        guid,
        name: name.to_owned(),
        attributes: 0,
        start_bytes,
        length_bytes,
    };
    let esp = uuid!("11111111-2222-3333-4444-555555555555");
    let state = uuid!("01234567-89ab-cdef-0123-456789abcdef");
    let meta = uuid!("99999999-2222-3333-4444-555555555555");
    PartitionTable {
        disk_guid: uuid!("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
        sector_size,
        // Number 2 is left out and the order on the disk differs: both must survive.
        partitions: BTreeMap::from([
            (1, partition("esp", partition_type::ESP, esp, MIB, 2 * MIB)),
            (
                3,
                partition("state", partition_type::LINUX_GENERIC, state, 4 * MIB, MIB),
            ),
            (
                4,
                partition("meta", partition_type::KEELSON_META, meta, 3 * MIB, MIB),
            ),
        ]),
    }
}

fn blank() -> Cursor<Vec<u8>> {
    Cursor::new(vec![0; usize::try_from(DISK_BYTES).unwrap()])
}

fn written(table: &PartitionTable) -> Cursor<Vec<u8>> {
    let mut disk = blank();
    table.write(&mut disk, DISK_BYTES).unwrap();
    disk
}

fn destroy(disk: &mut Cursor<Vec<u8>>, offset_bytes: u64) {
    disk.get_mut()[usize::try_from(offset_bytes).unwrap()] ^= 0xff;
}

#[test]
fn both_sector_sizes_round_trip() {
    for sector_size in SECTOR_SIZES {
        let mut table = table(sector_size);
        table.partitions.get_mut(&3).unwrap().attributes = 1 << 59 | 1;
        let mut disk = written(&table);
        let (read, source) = PartitionTable::read_with_source(&mut disk, sector_size).unwrap();
        assert_eq!(read, table);
        assert!(matches!(source, TableSource::Primary));
        assert!(PartitionTable::backup_is_at_end(&mut disk, sector_size, DISK_BYTES).unwrap());
    }
}

#[test]
fn sgdisk_finds_no_problem() {
    let disk = written(&table(SectorSize::Bytes512));
    let file = file_of(disk.get_ref());
    let verified = run_tool(
        "gdisk",
        Command::new("sgdisk").arg("--verify").arg(file.path()),
    );
    assert!(verified.contains("No problems found"), "{verified}");
    assert!(!verified.contains("aution"), "{verified}");
    let state = run_tool(
        "gdisk",
        Command::new("sgdisk").arg("--info=3").arg(file.path()),
    );
    assert!(
        state.contains("Partition GUID code: 0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
        "{state}"
    );
    assert!(
        state.contains("unique GUID: 01234567-89AB-CDEF-0123-456789ABCDEF"),
        "{state}"
    );
    assert!(state.contains("First sector: 8192 (at 4.0 MiB)"), "{state}");
    assert!(state.contains("Last sector: 10239"), "{state}");
    assert!(state.contains("Partition name: 'state'"), "{state}");
}

#[test]
fn sgdisk_reads_the_backup_too() {
    let mut disk = written(&table(SectorSize::Bytes512));
    destroy(&mut disk, 512);
    let file = file_of(disk.get_ref());
    let printed = run_tool(
        "gdisk",
        Command::new("sgdisk").arg("--print").arg(file.path()),
    );
    assert!(
        printed.contains("AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"),
        "{printed}"
    );
    assert!(printed.contains("meta"), "{printed}");
}

/// The fields of a header with 4096-byte sectors, which no tool at hand reads from a file.
#[test]
fn sectors_of_4096_bytes_are_laid_out_as_uefi_says() {
    let disk = written(&table(SectorSize::Bytes4096)).into_inner();
    let u64_at = |offset: usize| u64::from_le_bytes(disk[offset..offset + 8].try_into().unwrap());
    let u32_at = |offset: usize| u32::from_le_bytes(disk[offset..offset + 4].try_into().unwrap());
    let last = DISK_BYTES / 4096 - 1;
    for (lba, other, entries) in [(1, last, 2), (last, 1, last - 4)] {
        let header = usize::try_from(lba * 4096).unwrap();
        assert_eq!(&disk[header..header + 8], b"EFI PART");
        assert_eq!([u64_at(header + 24), u64_at(header + 32)], [lba, other]);
        assert_eq!([u64_at(header + 40), u64_at(header + 48)], [6, last - 5]);
        assert_eq!(u64_at(header + 72), entries);
        let mut unsigned = disk[header..header + 92].to_vec();
        unsigned[16..20].fill(0);
        assert_eq!(u32_at(header + 16), crc32fast::hash(&unsigned));
        let array = usize::try_from(entries * 4096).unwrap();
        assert_eq!(
            u32_at(header + 88),
            crc32fast::hash(&disk[array..array + 128 * 128])
        );
        assert_eq!([u64_at(array + 32), u64_at(array + 40)], [256, 767]);
    }
    assert_eq!(disk[450], 0xee);
    assert_eq!(
        [u32_at(454), u32_at(458)],
        [1, u32::try_from(last).unwrap()]
    );
    assert_eq!(disk[510..512], [0x55, 0xaa]);
}

#[test]
fn a_damaged_primary_is_replaced_by_the_backup() {
    for sector_size in SECTOR_SIZES {
        // The header, then an entry.
        for offset in [sector_size.bytes() + 60, sector_size.bytes() * 2 + 33] {
            let table = table(sector_size);
            let mut disk = written(&table);
            destroy(&mut disk, offset);
            let (read, source) = PartitionTable::read_with_source(&mut disk, sector_size).unwrap();
            assert_eq!(read, table);
            assert!(matches!(source, TableSource::Backup { .. }));
        }
    }
}

#[test]
fn two_damaged_copies_are_an_error_that_names_both() {
    let mut disk = written(&table(SectorSize::Bytes512));
    destroy(&mut disk, 512);
    destroy(&mut disk, DISK_BYTES - 512 - 128 * 128);
    let error = PartitionTable::read(&mut disk, SectorSize::Bytes512)
        .unwrap_err()
        .to_string();
    assert!(error.contains("primary: header at byte 512:"), "{error}");
    assert!(
        error.contains("backup: entries at sector 16351:"),
        "{error}"
    );
}

#[test]
fn the_wrong_sector_size_finds_no_table() {
    let mut disk = written(&table(SectorSize::Bytes512));
    let error = PartitionTable::read(&mut disk, SectorSize::Bytes4096).unwrap_err();
    assert!(matches!(error, GptError::NoValidTable { .. }), "{error}");
}

#[test]
fn a_header_in_the_wrong_place_is_refused() {
    let disk = written(&table(SectorSize::Bytes512)).into_inner();
    let mut copied = blank();
    copied.get_mut()[512..1024].copy_from_slice(&disk[disk.len() - 512..]);
    let error = PartitionTable::read(&mut copied, SectorSize::Bytes512).unwrap_err();
    let GptError::NoValidTable { primary, .. } = error else {
        panic!("{error}")
    };
    assert!(
        matches!(
            primary,
            TableProblem::Misplaced {
                claimed_lba: 16383,
                ..
            }
        ),
        "{primary}"
    );
}

#[test]
fn a_power_cut_leaves_the_old_table_or_the_new() {
    for sector_size in SECTOR_SIZES {
        let old = table(sector_size);
        let mut new = old.clone();
        new.disk_guid = uuid!("00000000-0000-0000-0000-000000000001");
        new.partitions.remove(&1);
        new.partitions.get_mut(&3).unwrap().type_guid = partition_type::KEELSON_EMPTY;
        new.grow_last(DISK_BYTES).unwrap();
        let mut disk = RecordingDisk::new(written(&old).into_inner(), sector_size.bytes());
        new.write(&mut disk, DISK_BYTES).unwrap();
        let mut seen = [false, false];
        let cuts = disk.each_power_cut(|contents, cut| {
            let read = PartitionTable::read(&mut Cursor::new(contents), sector_size)
                .unwrap_or_else(|error| panic!("{cut}: {error}"));
            assert!(read == old || read == new, "{cut}: {read:?}");
            seen[usize::from(read == new)] = true;
        });
        assert!(cuts > 10 && seen == [true, true]);
        let mut after = Cursor::new(disk.into_contents());
        assert_eq!(PartitionTable::read(&mut after, sector_size).unwrap(), new);
    }
}

/// An image on a larger disk: the first write moves the backup, and may be cut as well.
#[test]
fn a_power_cut_while_moving_to_a_larger_disk_loses_nothing() {
    let old = table(SectorSize::Bytes512);
    let mut contents = written(&old).into_inner();
    contents.resize(contents.len() * 2, 0);
    let mut new = old.clone();
    assert!(new.grow_last(2 * DISK_BYTES).unwrap());
    let mut disk = RecordingDisk::new(contents, 512);
    new.write(&mut disk, 2 * DISK_BYTES).unwrap();
    disk.each_power_cut(|contents, cut| {
        let read = PartitionTable::read(&mut Cursor::new(contents), SectorSize::Bytes512).unwrap();
        assert!(read == old || read == new, "{cut}");
    });
    let file = file_of(&disk.into_contents());
    let verified = run_tool(
        "gdisk",
        Command::new("sgdisk").arg("--verify").arg(file.path()),
    );
    assert!(verified.contains("No problems found"), "{verified}");
}

#[test]
fn a_backup_short_of_the_end_is_noticed() {
    let sector_size = SectorSize::Bytes512;
    let mut disk = written(&table(sector_size));
    let longer = 2 * DISK_BYTES;
    disk.get_mut().resize(usize::try_from(longer).unwrap(), 0);
    assert!(!PartitionTable::backup_is_at_end(&mut disk, sector_size, longer).unwrap());
    let table = PartitionTable::read(&mut disk, sector_size).unwrap();
    table.write(&mut disk, longer).unwrap();
    assert!(PartitionTable::backup_is_at_end(&mut disk, sector_size, longer).unwrap());
}

/// The larger disk had a table of its own before the image was written over its start.
#[test]
fn a_stale_backup_at_the_end_does_not_count() {
    let sector_size = SectorSize::Bytes512;
    let longer = 2 * DISK_BYTES;
    let mut disk = Cursor::new(vec![0; usize::try_from(longer).unwrap()]);
    table(sector_size).write(&mut disk, longer).unwrap();
    let image = written(&table(sector_size)).into_inner();
    disk.get_mut()[..image.len()].copy_from_slice(&image);
    assert!(!PartitionTable::backup_is_at_end(&mut disk, sector_size, longer).unwrap());
}

#[test]
fn the_last_partition_grows_to_the_last_usable_mib() {
    let mut table = table(SectorSize::Bytes512);
    assert!(table.grow_last(DISK_BYTES).unwrap());
    let (number, state) = table.by_name("state").unwrap();
    assert_eq!(
        (number, state.start_bytes, state.length_bytes),
        (3, 4 * MIB, 3 * MIB)
    );
    assert!(!table.grow_last(DISK_BYTES).unwrap());
    assert!(
        !table.grow_last(DISK_BYTES / 2).unwrap(),
        "it must never shrink"
    );
    assert_eq!(table.by_name("esp").unwrap().1.length_bytes, 2 * MIB);
    written(&table);
}

#[test]
fn what_cannot_be_written_is_refused_before_a_byte_is() {
    type Change = fn(&mut PartitionTable);
    let refused: [(Change, &str); 8] = [
        (
            |t| t.partitions.get_mut(&3).unwrap().start_bytes = 2 * MIB,
            "overlap",
        ),
        (
            |t| t.partitions.get_mut(&3).unwrap().start_bytes += 1,
            "sector",
        ),
        (
            |t| t.partitions.get_mut(&3).unwrap().length_bytes = 0,
            "empty",
        ),
        (
            |t| t.partitions.get_mut(&3).unwrap().length_bytes = 4 * MIB,
            "usable 17408 to",
        ),
        (
            |t| t.partitions.get_mut(&1).unwrap().start_bytes = 512,
            "outside the usable",
        ),
        (
            |t| t.partitions.get_mut(&1).unwrap().name = "x".repeat(37),
            "36",
        ),
        (
            |t| t.partitions.get_mut(&1).unwrap().guid = uuid::Uuid::nil(),
            "nil",
        ),
        (
            |t| drop(t.partitions.insert(129, t.partitions[&1].clone())),
            "129",
        ),
    ];
    for (change, message) in refused {
        let mut table = table(SectorSize::Bytes512);
        change(&mut table);
        let mut disk = RecordingDisk::new(blank().into_inner(), 512);
        let error = table.write(&mut disk, DISK_BYTES).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(disk.into_contents().iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_tiny_disk_is_refused() {
    let mut disk = Cursor::new(vec![0; 4096]);
    let error = table(SectorSize::Bytes512)
        .write(&mut disk, 4096)
        .unwrap_err();
    assert!(matches!(
        error,
        GptError::DiskTooSmall { length_bytes: 4096 }
    ));
    assert!(PartitionTable::read(&mut disk, SectorSize::Bytes512).is_err());
    assert!(PartitionTable::read(&mut Cursor::new(vec![]), SectorSize::Bytes4096).is_err());
}

#[test]
fn sector_sizes_are_checked() {
    assert_eq!(SectorSize::try_from(4096), Ok(SectorSize::Bytes4096));
    assert_eq!(SectorSize::try_from(520), Err(UnsupportedSectorSize(520)));
}

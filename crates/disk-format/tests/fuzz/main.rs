//! No bytes on a disk make a reader panic, or say that something is where nothing is.
//!
//! Where a checksum guards the fields it is made right, so that what is behind it is reached.
//! `PROPTEST_CASES` says how many of each (256 if it does not).

use std::collections::BTreeMap;
use std::io::Cursor;

use disk_format::boot_entry::BootEntry;
use disk_format::cpio;
use disk_format::gpt::{Partition, PartitionTable, SectorSize, partition_type};
use disk_format::meta::{BootRecord, Kept, ResetOrder};
use disk_format::uki;
use disk_format::verity::{RootHash, Superblock, verify};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

const MIB: usize = 1 << 20;
const SECTOR: usize = 512;
const META_LENGTH: usize = 4096;

/// Bytes to be put somewhere.
type Changes = Vec<(Index, u8)>;

fn changes(count: std::ops::Range<usize>) -> impl Strategy<Value = Changes> {
    vec((any::<Index>(), any::<u8>()), count)
}

fn damage(bytes: &mut [u8], changes: &Changes) {
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
}

fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

/// A disk with two partitions.
fn disk() -> Vec<u8> {
    let partition = |start: u64, name: &str| Partition {
        type_guid: partition_type::LINUX_GENERIC,
        guid: Uuid::from_u128(u128::from(start)),
        name: name.to_owned(),
        attributes: 0,
        start_bytes: start << 20,
        length_bytes: 1 << 20,
    };
    let table = PartitionTable {
        disk_guid: Uuid::from_u128(9),
        sector_size: SectorSize::Bytes512,
        partitions: BTreeMap::from([(1, partition(1, "esp")), (2, partition(2, "state"))]),
    };
    let mut disk = Cursor::new(vec![0; 4 * MIB]);
    table.write(&mut disk, 4 << 20).expect("a valid table");
    disk.into_inner()
}

/// Makes the checksums of the header in a sector and of its 128 entries right.
fn sign_table(disk: &mut [u8], header: usize, entries: usize) {
    let start = header * SECTOR;
    let checksum = crc32fast::hash(&disk[entries * SECTOR..(entries + 32) * SECTOR]);
    put_u32(disk, start + 88, checksum);
    put_u32(disk, start + 16, 0);
    let checksum = crc32fast::hash(&disk[start..start + 92]);
    put_u32(disk, start + 16, checksum);
}

/// A copy of the boot record with a payload of arbitrary bytes, and a right checksum.
fn record(payload: &[u8], length: u32) -> Vec<u8> {
    let mut copy = b"KEELMETA\x01\0\0\0".to_vec();
    copy.extend(length.to_le_bytes());
    copy.extend(7_u64.to_le_bytes());
    copy.extend(payload);
    copy.resize(META_LENGTH - 4, 0);
    let checksum = crc32fast::hash(&copy);
    copy.extend(checksum.to_le_bytes());
    copy.resize(MIB, 0);
    copy
}

/// The headers of an image with two sections, and one without contents, whose offset means nothing.
fn image() -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[..2].copy_from_slice(b"MZ");
    put_u32(&mut image, 0x3c, 0x40);
    image[0x40..0x48].copy_from_slice(b"PE\0\0\x64\x86\x03\0");
    image[0x54] = 112;
    image[0x58..0x5a].copy_from_slice(&[0x0b, 0x02]);
    for (number, name) in [(0, b".linux\0\0"), (1, b".initrd\0")] {
        let header = 0x58 + 112 + number * 40;
        image[header..header + 8].copy_from_slice(name);
        put_u32(&mut image, header + 8, 100);
        put_u32(&mut image, header + 16, 128);
        put_u32(
            &mut image,
            header + 20,
            600 + 200 * u32::try_from(number).expect("small"),
        );
    }
    let empty = 0x58 + 112 + 2 * 40;
    image[empty..empty + 4].copy_from_slice(b".bss");
    put_u32(&mut image, empty + 8, 100);
    put_u32(&mut image, empty + 20, u32::MAX - 10);
    image
}

fn check_image(image: &[u8]) -> Result<(), TestCaseError> {
    for (name, range) in uki::sections(image).unwrap_or_default() {
        prop_assert!(
            image.get(range.clone()).is_some(),
            "{} at {:?}",
            name,
            range
        );
    }
    if let Ok(lengths) = uki::part_lengths(image) {
        prop_assert_eq!(lengths.iter().sum::<usize>(), image.len());
    }
    Ok(())
}

fn archive() -> Vec<u8> {
    let mut archive = cpio::Writer::new(Vec::new(), 1);
    archive.directory("usr", 0o755).expect("written");
    archive.file("usr/x", 0o644, b"contents").expect("written");
    archive.symlink("lib", "usr/lib").expect("written");
    archive.finish().expect("written")
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..9000), name in ".{0,40}") {
        let _ = Superblock::parse(&bytes);
        let _ = BootRecord::read(&mut Cursor::new(&bytes));
        let _ = cpio::entries(&bytes);
        let _ = BootEntry::parse(&name);
        let _ = BootEntry::parse(&format!("keelson_{name}.efi"));
        for sector_size in [SectorSize::Bytes512, SectorSize::Bytes4096] {
            let _ = PartitionTable::read(&mut Cursor::new(&bytes), sector_size);
        }
        check_image(&bytes)?;
    }

    #[test]
    fn damaged_partition_tables_never_panic(
        header in changes(0..6),
        entries in changes(0..12),
        primary in any::<bool>(),
        signed in any::<bool>(),
    ) {
        let mut disk = disk();
        let last = disk.len() / SECTOR - 1;
        let (at, entries_at) = if primary { (1, 2) } else { (last, last - 32) };
        // The signature, the header's length and its checksum stay.
        damage(&mut disk[at * SECTOR + 24..at * SECTOR + 92], &header);
        damage(&mut disk[entries_at * SECTOR..entries_at * SECTOR + 4 * 128], &entries);
        if signed {
            sign_table(&mut disk, at, entries_at);
        }
        if !primary {
            disk[SECTOR] ^= 1;
        }
        if let Ok(mut table) = PartitionTable::read(&mut Cursor::new(&disk), SectorSize::Bytes512) {
            let _ = table.by_name("state");
            let _ = table.grow_last(4 << 20);
            let _ = table.write(&mut Cursor::new(disk), 4 << 20);
        }
    }

    /// Whatever is read can be written, and reads as the same again.
    #[test]
    fn arbitrary_boot_records_never_panic(
        count in 0..10_u32,
        payload in vec(any::<u8>(), 0..600),
        length in 0..700_u32,
    ) {
        let mut bytes = count.to_le_bytes().to_vec();
        bytes.extend(payload);
        if let Ok((read, _)) = BootRecord::read(&mut Cursor::new(record(&bytes, length))) {
            let mut disk = Cursor::new(vec![0; MIB]);
            read.write(&mut disk).expect("written");
            prop_assert_eq!(BootRecord::read(&mut disk).expect("read").0, read);
        }
    }

    #[test]
    fn arbitrary_reset_orders_never_panic(
        identity in 0..3_u8,
        count in 0..4_u8,
        path in "/(var|etc|usr|home)(/[a-c.]{0,3}){0,4}",
        rest in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = vec![0, 0, 0, 0, 2, 0, 0, 0, identity, 0, 0, 0, count, 0, 0, 0];
        bytes.extend(u16::try_from(path.len()).expect("short").to_le_bytes());
        bytes.extend(path.as_bytes());
        bytes.extend(rest);
        let length = u32::try_from(bytes.len()).expect("short");
        let read = BootRecord::read(&mut Cursor::new(record(&bytes, length)));
        if let Ok((read, _)) = read
            && let Some(ResetOrder::Clear(Kept { paths, .. })) = read.reset()
        {
            for path in paths {
                let (place, names) = path.split();
                let names: Vec<&str> = names.collect();
                prop_assert!(names.iter().all(|name| !matches!(*name, "" | "." | "..")));
                let whole = [&[place], &names[..]].concat().join("/");
                prop_assert_eq!(whole, path.as_str());
            }
        }
    }

    #[test]
    fn damaged_images_never_panic(changed in changes(1..8), cut in any::<Index>()) {
        let mut image = image();
        prop_assert_eq!(uki::sections(&image).expect("valid").len(), 3);
        check_image(&image)?;
        // What is not zero is in the first 320 bytes.
        damage(&mut image[..320], &changed);
        check_image(&image)?;
        image.truncate(cut.index(image.len()));
        check_image(&image)?;
    }

    #[test]
    fn damaged_archives_never_panic(changed in changes(1..6), digit in "[0-9a-fA-F]", at in any::<Index>()) {
        let mut archive = archive();
        prop_assert_eq!(cpio::entries(&archive).expect("valid").len(), 3);
        let at = at.index(archive.len());
        archive[at] = digit.as_bytes()[0];
        let _ = cpio::entries(&archive);
        damage(&mut archive, &changed);
        let _ = cpio::entries(&archive);
    }

    /// What says it is a tree and is not one.
    #[test]
    fn arbitrary_trees_never_panic(fields in vec(any::<u8>(), 512..9000), salt in 0..300_u16) {
        let mut tree = Superblock { uuid: Uuid::nil(), data_blocks: 2, salt: Vec::new() }.to_bytes().to_vec();
        tree[40..80].copy_from_slice(&fields[..40]);
        tree[80..82].copy_from_slice(&salt.to_le_bytes());
        tree[88..512].copy_from_slice(&fields[88..512]);
        tree.extend(&fields);
        let _ = Superblock::parse(&tree);
        prop_assert!(verify(&fields[..], &tree[..], &RootHash([0; 32])).is_err());
    }
}

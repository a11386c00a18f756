//! Step `disk`: partitions, boot loader and root in one sparse file.
//!
//! The layout is the same for both sector sizes; only the partition table differs, so the ESP is made
//! with 4096-byte sectors, which firmware and Linux read on either kind of disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use disk_format::boot_entry::{BootEntry, Counter};
use disk_format::esp::{self, EspOptions};
use disk_format::gpt::{Partition, PartitionTable, SectorSize, partition_type};
use disk_format::verity::RootHash;
use disk_format::window::Window;
use uuid::Uuid;

use crate::digest::Digest;
use crate::error::{BuildError, Result, create, open};
use crate::recipe::Disk;
use crate::root_image::derived_uuid;
use crate::tools::Tools;

/// Name of the disk image this step leaves in its directory.
pub const DISK: &str = "disk.raw";

/// Boots a new version gets before the boot loader falls back to the other slot.
const BOOT_TRIES: u32 = 3;
/// Partitions begin on whole MiB; the table's own blocks have the first and the last.
const ALIGNMENT_BYTES: u64 = 1 << 20;
/// Attribute of the Discoverable Partitions Specification: mount read-only.
const READ_ONLY: u64 = 1 << 60;

/// Everything that goes on a disk.
#[derive(Debug)]
pub struct DiskParts<'a> {
    /// Sizes of the partitions.
    pub sizes: &'a Disk,
    /// Version of slot a.
    pub version: &'a str,
    /// Root hash of slot a.
    pub root_hash: &'a RootHash,
    /// File system image of slot a.
    pub root: &'a Path,
    /// Hash tree of slot a.
    pub verity: &'a Path,
    /// Unified kernel image of slot a.
    pub uki: &'a Path,
    /// What UUIDs are derived from.
    pub key: Digest,
    /// Time stamp of every file on the ESP.
    pub timestamp_seconds: u64,
    /// Logical sectors of the disk.
    pub sector_size: SectorSize,
}

/// The partitions in the order they stand on the disk.
pub fn partition_table(parts: &DiskParts<'_>) -> PartitionTable {
    let sizes = parts.sizes;
    let guid = |purpose: &str| derived_uuid(purpose, &parts.key);
    let (root, verity) = (
        parts.root_hash.data_partition_guid(),
        parts.root_hash.hash_partition_guid(),
    );
    let empty = partition_type::KEELSON_EMPTY;
    let plan: [(&str, Uuid, Uuid, u64, u64); 7] = [
        ("esp", partition_type::ESP, guid("esp"), sizes.esp_bytes, 0),
        (
            "root-a",
            partition_type::ROOT_X86_64,
            root,
            sizes.root_bytes,
            READ_ONLY,
        ),
        (
            "root-a-verity",
            partition_type::ROOT_X86_64_VERITY,
            verity,
            sizes.root_verity_bytes,
            READ_ONLY,
        ),
        ("root-b", empty, guid("root-b"), sizes.root_bytes, READ_ONLY),
        (
            "root-b-verity",
            empty,
            guid("root-b-verity"),
            sizes.root_verity_bytes,
            READ_ONLY,
        ),
        (
            "meta",
            partition_type::KEELSON_META,
            guid("meta"),
            sizes.meta_bytes,
            0,
        ),
        (
            "state",
            partition_type::LINUX_GENERIC,
            guid("state"),
            sizes.state_bytes,
            0,
        ),
    ];
    let mut start_bytes = ALIGNMENT_BYTES;
    let mut partitions = BTreeMap::new();
    for (number, (name, type_guid, guid, length_bytes, attributes)) in (1..).zip(plan) {
        let name = name.to_owned();
        partitions.insert(
            number,
            Partition {
                type_guid,
                guid,
                name,
                attributes,
                start_bytes,
                length_bytes,
            },
        );
        start_bytes += length_bytes;
    }
    PartitionTable {
        disk_guid: guid("disk"),
        sector_size: parts.sector_size,
        partitions,
    }
}

/// Writes the disk image into `directory`.
pub fn disk(tools: &Tools, parts: &DiskParts<'_>, directory: &Path) -> Result<String> {
    let path = directory.join(DISK);
    let mut file = create(&path)?;
    let table = partition_table(parts);
    let end = table
        .partitions
        .values()
        .map(Partition::end_bytes)
        .max()
        .unwrap_or(0);
    let length = end + ALIGNMENT_BYTES;
    file.set_len(length)
        .map_err(|e| BuildError::io("grow", &path, e))?;
    table
        .write(&mut file, length)
        .map_err(|e| BuildError::writing("partition table", &path, e))?;
    write_esp(&file, &path, &table, tools, parts)?;
    copy_into(&file, &path, partition(&table, "root-a"), parts.root)?;
    copy_into(
        &file,
        &path,
        partition(&table, "root-a-verity"),
        parts.verity,
    )?;
    Ok(format!(
        "{} MB, {}-byte sectors",
        length / 1_000_000,
        parts.sector_size.bytes()
    ))
}

fn partition<'a>(table: &'a PartitionTable, name: &str) -> &'a Partition {
    table.by_name(name).expect("the layout has it").1
}

fn write_esp(
    file: &File,
    path: &Path,
    table: &PartitionTable,
    tools: &Tools,
    parts: &DiskParts<'_>,
) -> Result<()> {
    let failed =
        |e: disk_format::esp::EspError| BuildError::writing("EFI system partition", path, e);
    let place = partition(table, "esp");
    let volume_id = u32::from_le_bytes(parts.key.0[..4].try_into().expect("four bytes"));
    let options = EspOptions {
        length_bytes: place.length_bytes,
        sector_size: SectorSize::Bytes4096,
        volume_id,
        label: *b"KEELSON-ESP",
        timestamp_seconds: parts.timestamp_seconds,
    };
    let window = Window::new(file, place.start_bytes, place.length_bytes)
        .map_err(|e| BuildError::format("EFI system partition", e))?;
    let mut esp = esp::format(window, &options).map_err(failed)?;
    let loader = tools.file("usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    let counter = Counter::Counted {
        tries_left: BOOT_TRIES,
        tries_done: 0,
    };
    let entry = BootEntry::new(parts.version, counter)
        .map_err(|e| BuildError::format("boot entry", e))?
        .file_name();
    let mut files: Vec<(String, Box<dyn std::io::Read>)> = vec![
        ("EFI/BOOT/BOOTX64.EFI".to_owned(), Box::new(open(&loader)?)),
        (
            "EFI/systemd/systemd-bootx64.efi".to_owned(),
            Box::new(open(&loader)?),
        ),
        (
            "loader/loader.conf".to_owned(),
            Box::new(LOADER_CONFIGURATION.as_bytes()),
        ),
        (format!("EFI/Linux/{entry}"), Box::new(open(parts.uki)?)),
    ];
    for (path, contents) in &mut files {
        esp.write_file(path, contents).map_err(failed)?;
    }
    esp.finish().map_err(failed)?;
    Ok(())
}

/// No menu, no waiting; the newest version that still has tries left is taken by itself.
const LOADER_CONFIGURATION: &str = "timeout 0\neditor no\n";

fn copy_into(file: &File, path: &Path, place: &Partition, source: &Path) -> Result<()> {
    let failed = |e| BuildError::io("write", path, e);
    let mut from = open(source)?;
    let length = from.metadata().map_err(failed)?.len();
    if length > place.length_bytes {
        return Err(BuildError::TooLarge {
            what: format!("partition {}", place.name),
            needed: length,
            limit: place.length_bytes,
            advice: "a partition's size can never change in the field".to_owned(),
        });
    }
    let mut target = file;
    target
        .seek(SeekFrom::Start(place.start_bytes))
        .map_err(failed)?;
    std::io::copy(&mut from, &mut target).map_err(failed)?;
    Ok(())
}

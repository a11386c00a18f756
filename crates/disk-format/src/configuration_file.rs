//! The first-boot configuration on a disk's EFI system partition: the file `keelson/config.*`.
//!
//! Whoever makes a machine puts it there, before the first boot. What is in it is not known here, and what its ending is
//! does not matter: the text tells its format.

use std::io::{Read, Seek, Write};

use crate::disk::Disk;
use crate::esp::{Esp, EspError};
use crate::gpt::{GptError, PartitionTable, SectorSize};
use crate::window::Window;

/// The folder.
pub const FOLDER: &str = "keelson";
/// How the file's name begins.
pub const STEM: &str = "config.";
/// Label of the partition.
const PARTITION: &str = "esp";

/// Why the file cannot be put there.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// No disk of ours.
    #[error("there is no partition table")]
    Table(#[source] GptError),
    /// Of another system.
    #[error("there is no partition `{PARTITION}`")]
    NoPartition,
    /// The partition's place is impossible, or the disk does not reach the medium.
    #[error("cannot write the disk")]
    Disk(#[source] std::io::Error),
    /// The file system.
    #[error("cannot write the EFI system partition")]
    Esp(#[from] EspError),
}

/// FAT keeps names in whatever case they were written.
pub fn is_configuration(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with(STEM)
}

/// The path of every configuration in a file system, sorted; one machine may have one.
///
/// # Errors
/// If the file system cannot be read.
pub fn find<D: Read + Write + Seek>(esp: &Esp<D>) -> Result<Vec<String>, EspError> {
    let folders = esp.list("")?;
    let mut folders = folders.iter();
    let Some(folder) = folders.find(|name| name.eq_ignore_ascii_case(FOLDER)) else {
        return Ok(Vec::new());
    };
    let mut names = esp.list(folder)?;
    names.retain(|name| is_configuration(name));
    names.sort();
    let paths = names.iter().map(|name| format!("{folder}/{name}"));
    Ok(paths.collect())
}

/// Puts a configuration on a whole disk, in place of any that is there, and waits until it has reached the medium.
///
/// `ending` is what its name ends in; `timestamp_seconds` is when it is said to be written (Unix, in seconds).
///
/// # Errors
/// If the disk is none of ours, or cannot be written.
pub fn put<D: Disk>(
    disk: &mut D,
    ending: &str,
    bytes: &[u8],
    timestamp_seconds: u64,
) -> Result<(), PutError> {
    let table = PartitionTable::read(disk, SectorSize::Bytes512)
        .or_else(|_| PartitionTable::read(disk, SectorSize::Bytes4096))
        .map_err(PutError::Table)?;
    let (_, place) = table.by_name(PARTITION).ok_or(PutError::NoPartition)?;
    let window = Window::new(&mut *disk, place.start_bytes, place.length_bytes);
    let mut esp = Esp::open(window.map_err(PutError::Disk)?, timestamp_seconds)?;
    for path in find(&esp)? {
        esp.remove(&path)?;
    }
    esp.write_file(&format!("{FOLDER}/{STEM}{ending}"), &mut &*bytes)?;
    esp.finish()?;
    disk.sync().map_err(PutError::Disk)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;

    use uuid::Uuid;

    use super::*;
    use crate::esp::{self, EspOptions};
    use crate::gpt::{Partition, partition_type};

    const MIB: u64 = 1 << 20;
    const ESP_START: u64 = MIB;
    const ESP_LENGTH: u64 = 300 * MIB;

    /// A sparse disk with an ESP, and nothing else.
    fn disk(name: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let length = ESP_LENGTH + 4 * MIB;
        file.set_len(length).unwrap();
        let partition = Partition {
            type_guid: partition_type::ESP,
            guid: Uuid::from_u128(1),
            name: name.to_owned(),
            attributes: 0,
            start_bytes: ESP_START,
            length_bytes: ESP_LENGTH,
        };
        let table = PartitionTable {
            disk_guid: Uuid::from_u128(2),
            sector_size: SectorSize::Bytes512,
            partitions: BTreeMap::from([(1, partition)]),
        };
        table.write(&mut file, length).unwrap();
        let window = Window::new(&mut file, ESP_START, ESP_LENGTH).unwrap();
        let options = EspOptions {
            length_bytes: ESP_LENGTH,
            sector_size: SectorSize::Bytes4096,
            volume_id: 1,
            label: *b"KEELSON ESP",
            timestamp_seconds: 1_700_000_000,
        };
        let mut esp = esp::format(window, &options).unwrap();
        esp.write_file("EFI/BOOT/BOOTX64.EFI", &mut &b"loader"[..])
            .unwrap();
        esp.finish().unwrap();
        file
    }

    #[test]
    fn one_configuration_is_on_the_disk_whatever_was_there() {
        let mut disk = disk("esp");
        put(&mut disk, "ign", b"{}", 1_700_000_000).unwrap();
        let long = vec![b'#'; 100_000];
        put(&mut disk, "toml", &long, 1_700_000_000).unwrap();
        let window = Window::new(&mut disk, ESP_START, ESP_LENGTH).unwrap();
        let esp = Esp::open(window, 0).unwrap();
        assert_eq!(find(&esp).unwrap(), ["keelson/config.toml"]);
        assert_eq!(esp.read_file("keelson/config.toml").unwrap(), long);
        assert_eq!(esp.read_file("EFI/BOOT/BOOTX64.EFI").unwrap(), b"loader");
    }

    #[test]
    fn other_disks_are_left_alone() {
        let error = put(&mut disk("boot"), "toml", b"", 0).unwrap_err();
        assert!(matches!(error, PutError::NoPartition), "{error}");
        let mut blank = tempfile::tempfile().unwrap();
        blank.set_len(MIB).unwrap();
        let error = put(&mut blank, "toml", b"", 0).unwrap_err();
        assert!(matches!(error, PutError::Table(_)), "{error}");
    }
}

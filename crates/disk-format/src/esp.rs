//! The EFI system partition: a FAT32 file system with what firmware and boot loader read.
//!
//! The file system is the crate `fatfs`; this module pins everything that crate would take from its
//! surroundings, so that the same calls give the same bytes, and corrects what it gets wrong. Does not
//! mount anything, and knows nothing of what the files are for.
//!
//! One fault is left: where the device is not blank, a root directory that outgrows its first
//! cluster shows what was there before. That is 128 entries with clusters of 4096 bytes, and the
//! root of an EFI system partition holds two or three.

mod device;
mod dot_entries;
mod error;
mod fixed_time;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::gpt::SectorSize;
use device::SharedDevice;
pub use error::EspError;
use fixed_time::FixedTime;

/// How to format a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EspOptions {
    /// The length of the partition.
    pub length_bytes: u64,
    /// The file system's sector size. 4096 bytes work on disks of either kind, and 512 do not.
    pub sector_size: SectorSize,
    /// The serial number (`/dev/disk/by-uuid/1234-ABCD`).
    pub volume_id: u32,
    /// The label, in ASCII capitals and padded with spaces.
    pub label: [u8; 11],
    /// When everything is said to be created and changed, Unix, in seconds.
    pub timestamp_seconds: u64,
}

/// An open file system on `D`; close it with [`Esp::finish`].
pub struct Esp<D: Read + Write + Seek> {
    file_system: fatfs::FileSystem<SharedDevice<D>>,
    device: SharedDevice<D>,
}

impl<D: Read + Write + Seek> fmt::Debug for Esp<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Esp")
            .field("volume_id", &self.file_system.volume_id())
            .finish_non_exhaustive()
    }
}

/// Formats `device` with FAT32 and opens it.
///
/// Writes file allocation tables and root directory only, so that a sparse file stays sparse.
///
/// # Errors
/// If the partition is too short for FAT32 (about 256 MiB with sectors of 4096 bytes, 33 MiB with
/// 512), or the device fails.
pub fn format<D: Read + Write + Seek>(device: D, options: &EspOptions) -> Result<Esp<D>, EspError> {
    let sectors = options.length_bytes / options.sector_size.bytes();
    let too_short = EspError::Length {
        length_bytes: options.length_bytes,
    };
    let Ok(sectors) = u32::try_from(sectors) else {
        return Err(too_short);
    };
    let format = fatfs::FormatVolumeOptions::new()
        .bytes_per_sector(options.sector_size.bytes_u16())
        .total_sectors(sectors)
        .fat_type(fatfs::FatType::Fat32)
        .volume_id(options.volume_id)
        .volume_label(options.label);
    let mut device = SharedDevice::new(device);
    device.seek(SeekFrom::Start(0)).map_err(EspError::Format)?;
    fatfs::format_volume(&mut device, format).map_err(EspError::Format)?;
    // The crate falls back to FAT16 where there are too few clusters, whatever it was told.
    let esp = match Esp::open_shared(device, options.timestamp_seconds) {
        Err(EspError::NotFat32) => return Err(too_short),
        opened => opened?,
    };
    // Counts the free clusters once, for the boot loader's and the kernel's benefit.
    esp.free_bytes()?;
    Ok(esp)
}

impl<D: Read + Write + Seek> Esp<D> {
    /// Opens the file system on `device`; what is written from now on has this time stamp (Unix,
    /// in seconds).
    pub fn open(device: D, timestamp_seconds: u64) -> Result<Self, EspError> {
        Self::open_shared(SharedDevice::new(device), timestamp_seconds)
    }

    fn open_shared(mut device: SharedDevice<D>, timestamp_seconds: u64) -> Result<Self, EspError> {
        // The crate wants a `'static` clock; a few bytes for each file system opened are lost.
        let time: &'static FixedTime = Box::leak(Box::new(FixedTime::new(timestamp_seconds)));
        let options = fatfs::FsOptions::new().time_provider(time);
        device.seek(SeekFrom::Start(0)).map_err(EspError::Open)?;
        let file_system =
            fatfs::FileSystem::new(device.clone(), options).map_err(EspError::Open)?;
        if file_system.fat_type() != fatfs::FatType::Fat32 {
            return Err(EspError::NotFat32);
        }
        Ok(Self {
            file_system,
            device,
        })
    }

    /// Writes a file, replacing one that exists, and creates the directories above it.
    ///
    /// What it replaces is gone if this fails. To replace a file in one step, write it under
    /// another name, and rename it.
    pub fn write_file(&mut self, path: &str, contents: &mut dyn Read) -> Result<(), EspError> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.create_directory(parent)?;
        }
        let root = self.file_system.root_dir();
        let mut file = root
            .create_file(path)
            .map_err(EspError::at("create", path))?;
        let written = file
            .truncate()
            .and_then(|()| std::io::copy(contents, &mut file))
            .and_then(|_| file.flush());
        drop(file);
        if written.is_err() {
            // Half a file is worse than none, and the first error says more than a second.
            let _ = root.remove(path);
        }
        written.map_err(EspError::at("write", path))
    }

    /// Creates a directory, and those above it; it may exist.
    pub fn create_directory(&mut self, path: &str) -> Result<(), EspError> {
        let ends = path
            .match_indices('/')
            .map(|(end, _)| end)
            .chain([path.len()]);
        for ancestor in ends
            .map(|end| &path[..end])
            .filter(|ancestor| !ancestor.is_empty())
        {
            let created = self.file_system.root_dir().create_dir(ancestor);
            created
                .map(drop)
                .map_err(EspError::at("create", ancestor))?;
        }
        Ok(())
    }

    /// The contents of a file.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, EspError> {
        let mut contents = Vec::new();
        let read = self
            .file_system
            .root_dir()
            .open_file(path)
            .and_then(|mut file| file.read_to_end(&mut contents));
        read.map_err(EspError::at("read", path))?;
        Ok(contents)
    }

    /// The names in a directory, sorted; `""` is the root directory.
    pub fn list(&self, directory: &str) -> Result<Vec<String>, EspError> {
        let root = self.file_system.root_dir();
        let opened = if directory.is_empty() {
            Ok(root)
        } else {
            root.open_dir(directory)
        };
        let names = opened.and_then(|directory| {
            directory
                .iter()
                .map(|entry| Ok(entry?.file_name()))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut names = names.map_err(EspError::at("list", directory))?;
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }

    /// Removes a file or an empty directory.
    pub fn remove(&mut self, path: &str) -> Result<(), EspError> {
        self.file_system
            .root_dir()
            .remove(path)
            .map_err(EspError::at("remove", path))
    }

    /// Renames or moves a file or directory; nothing of the new name may exist.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), EspError> {
        let root = self.file_system.root_dir();
        root.rename(from, &root, to)
            .map_err(EspError::at("rename", from))
    }

    /// How many bytes are free, in whole clusters.
    pub fn free_bytes(&self) -> Result<u64, EspError> {
        let stats = self
            .file_system
            .stats()
            .map_err(EspError::at("count free space", ""))?;
        Ok(u64::from(stats.free_clusters()) * u64::from(stats.cluster_size()))
    }

    /// Writes everything out, marks the file system as clean, and gives the device back.
    ///
    /// Syncing the device, if it needs that, is the caller's business.
    pub fn finish(self) -> Result<D, EspError> {
        let Self {
            file_system,
            mut device,
        } = self;
        file_system.unmount().map_err(EspError::Finish)?;
        dot_entries::correct(&mut device).map_err(EspError::Finish)?;
        device.flush().map_err(EspError::Finish)?;
        Ok(device.into_inner())
    }
}

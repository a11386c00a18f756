//! Whole disks as the kernel shows them in `/sys/block`, with the partition tables on them.
//!
//! It reads; all it can change is what the kernel knows of partitions. It does not choose between disks.
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use disk_format::gpt::{PartitionTable, SectorSize};

use crate::report::error::{ActionFailed, Context, chain};
use crate::system_calls;

/// sysfs counts lengths in these, whatever the disk's own sectors are.
const SYSFS_SECTOR_BYTES: u64 = 512;
/// Drivers of disks that cannot hold an installed system.
const NOT_DISKS: [&str; 8] = ["dm-", "fd", "loop", "md", "nbd", "ram", "sr", "zram"];

/// A disk that exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The kernel's name, such as `vda` or `nvme0n1`.
    pub(crate) name: String,
    /// Its length in bytes.
    pub(crate) length_bytes: u64,
    /// What stands on it.
    pub(crate) contents: Contents,
}

/// What a look at a disk has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contents {
    /// A valid partition table.
    Partitioned(PartitionTable),
    /// None, with the reason in words.
    Unreadable(String),
}

impl Disk {
    /// The device node.
    pub(crate) fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// The device node of a partition.
    pub(crate) fn partition_path(&self, number: u32) -> String {
        partition_path(&self.name, number)
    }
}

/// A partition's device node: `/dev/vda3`, but `/dev/nvme0n1p3`.
pub(crate) fn partition_path(disk_name: &str, number: u32) -> String {
    let separator = if disk_name.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    format!("/dev/{disk_name}{separator}{number}")
}

/// All disks with a medium, in the order of their names.
pub(crate) fn list() -> Vec<Disk> {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.retain(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)));
    names.sort();
    names.into_iter().filter_map(look_at).collect()
}

/// `None` for a disk that is gone or has no medium.
fn look_at(name: String) -> Option<Disk> {
    let length_bytes = number_in_sysfs(&name, "size")?.checked_mul(SYSFS_SECTOR_BYTES)?;
    if length_bytes == 0 {
        return None;
    }
    let contents = match read_table(&name) {
        Ok(table) => Contents::Partitioned(table),
        Err(reason) => Contents::Unreadable(reason),
    };
    Some(Disk {
        name,
        length_bytes,
        contents,
    })
}

/// The length of its sectors, as the kernel says; the reason in words if a table cannot have it.
pub(crate) fn sector_size(name: &str) -> Result<SectorSize, String> {
    let sector_bytes = number_in_sysfs(name, "queue/logical_block_size").unwrap_or(512);
    SectorSize::try_from(sector_bytes).map_err(|error| chain(&error))
}

fn read_table(name: &str) -> Result<PartitionTable, String> {
    let sector_size = sector_size(name)?;
    let mut device = File::open(format!("/dev/{name}")).map_err(|error| error.to_string())?;
    PartitionTable::read(&mut device, sector_size).map_err(|error| chain(&error))
}

fn number_in_sysfs(disk: &str, attribute: &str) -> Option<u64> {
    let path: PathBuf = Path::new("/sys/block").join(disk).join(attribute);
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Tells the kernel the new length of a partition, without touching the others.
pub(crate) fn resize_partition(
    disk: &File,
    path: &str,
    number: u32,
    start_bytes: u64,
    length_bytes: u64,
) -> Result<(), ActionFailed> {
    system_calls::resize_partition(disk, number, start_bytes, length_bytes)
        .context(|| format!("tell the kernel that {path} is now {length_bytes} bytes long"))
}

#[cfg(test)]
mod tests {
    use super::partition_path;

    #[test]
    fn partitions_are_named_as_the_kernel_does() {
        assert_eq!(partition_path("vda", 3), "/dev/vda3");
        assert_eq!(partition_path("sdaa", 12), "/dev/sdaa12");
        assert_eq!(partition_path("nvme0n1", 1), "/dev/nvme0n1p1");
        assert_eq!(partition_path("mmcblk0", 2), "/dev/mmcblk0p2");
    }
}

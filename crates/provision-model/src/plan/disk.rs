//! Disks beside the machine's own, and file systems on them.
//!
//! Devices are named as in the configuration; which ones there are is for whoever applies the plan.

use std::fmt;

use uuid::Uuid;

/// A disk's partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its device, as `/dev/vdb`.
    pub device: String,
    /// Whether whatever table it has goes first.
    pub is_wiped: bool,
    /// Partitions to be there, in this order.
    pub partitions: Vec<Partition>,
}

/// A partition; what is `None` may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: Option<u32>,
    /// Its label.
    pub label: Option<String>,
    /// Where it begins; else where most is free.
    pub start_mib: Option<u64>,
    /// Its size; else all that is free there.
    pub size_mib: Option<u64>,
    /// Its type; else that of Linux data.
    pub type_guid: Option<Uuid>,
    /// What tells it from all others.
    pub guid: Option<Uuid>,
    /// Whether one that is there and is another makes way.
    pub replaces: bool,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The partition's or disk's device.
    pub device: String,
    /// Its kind.
    pub format: FileSystemFormat,
    /// Its label.
    pub label: Option<String>,
    /// What tells it from all others, as its kind writes that.
    pub uuid: Option<String>,
    /// Words for the program that makes it.
    pub options: Vec<String>,
    /// Whether what is there goes, whatever it is.
    pub is_wiped: bool,
    /// Where it will be mounted, by a unit that is the configuration's.
    pub path: Option<String>,
}

/// Kinds that the image can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystemFormat {
    /// Linux' usual one.
    Ext4,
    /// FAT.
    Vfat,
    /// Not one of files: memory that is written out.
    Swap,
}

impl FileSystemFormat {
    /// All, by their names.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Vfat, Self::Swap];
}

/// As mount(2) and blkid(8) name it.
impl fmt::Display for FileSystemFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Vfat => "vfat",
            Self::Swap => "swap",
        })
    }
}

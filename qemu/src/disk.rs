//! The disks of a machine.
//!
//! It neither creates nor converts images.

use std::path::PathBuf;

/// A disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// The format of the image.
    pub format: DiskFormat,
    /// The kind of controller the guest sees.
    pub interface: DiskInterface,
    /// The sector size the guest sees.
    pub sector_size: SectorSize,
    /// What becomes of the guest's writes.
    pub mode: DiskMode,
    /// The serial number the guest sees; without one, `disk` and the disk's position.
    pub serial: Option<String>,
    /// Its place in the firmware's boot order, the lowest first; not booted from without one,
    /// unless the firmware finds it on its own.
    pub boot_index: Option<u32>,
}

impl Disk {
    /// A raw virtio disk with sectors of 512 bytes whose writes last.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: DiskFormat::Raw,
            interface: DiskInterface::VirtioBlock,
            sector_size: SectorSize::Bytes512,
            mode: DiskMode::Persistent,
            serial: None,
            boot_index: None,
        }
    }

    /// A raw virtio disk whose writes last, and what the guest writes is recorded in this file, which is made anew.
    pub fn recorded(path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            mode: DiskMode::Recorded(log.into()),
            ..Self::new(path)
        }
    }

    /// A raw virtio disk whose image stays as it is: writes are thrown away with the machine.
    pub fn snapshot(path: impl Into<PathBuf>) -> Self {
        Self {
            mode: DiskMode::Snapshot,
            ..Self::new(path)
        }
    }
}

/// The format of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// The bytes of the disk.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

/// The kind of controller a guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskInterface {
    /// virtio-blk, `/dev/vda` in Linux.
    VirtioBlock,
    /// virtio-scsi, `/dev/sda` in Linux.
    VirtioScsi,
    /// `NVMe`, `/dev/nvme0n1` in Linux.
    Nvme,
}

/// The logical and physical sector size of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectorSize {
    /// 512 bytes.
    Bytes512,
    /// 4096 bytes, "4K native".
    Bytes4096,
}

impl SectorSize {
    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => 4096,
        }
    }
}

/// What becomes of a guest's writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskMode {
    /// They change the image.
    Persistent,
    /// They are thrown away with the machine; several machines may share the image.
    Snapshot,
    /// They change the image, and this file records them and the flushes between them, for
    /// [`crate::write_log`]. Discards do nothing. The image must be raw.
    Recorded(PathBuf),
}

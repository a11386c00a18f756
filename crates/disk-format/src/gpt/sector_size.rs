//! The size of a disk's logical sectors, which a GPT's offsets count in.
//!
//! Physical sectors do not appear in any format and are not modelled.

use thiserror::Error;

/// The logical sector size of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectorSize {
    /// 512 bytes: nearly every disk, and "512e" ones.
    Bytes512,
    /// 4096 bytes: "4Kn" disks.
    Bytes4096,
}

/// A sector size that no disk Keelson runs on has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("sectors of {0} bytes are not supported; they must be of 512 or 4096")]
pub struct UnsupportedSectorSize(pub u64);

impl SectorSize {
    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => 4096,
        }
    }

    pub(crate) const fn bytes_usize(self) -> usize {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => 4096,
        }
    }

    pub(crate) const fn bytes_u16(self) -> u16 {
        match self {
            Self::Bytes512 => 512,
            Self::Bytes4096 => 4096,
        }
    }

    pub(crate) const fn logical_block_size(self) -> gpt::disk::LogicalBlockSize {
        match self {
            Self::Bytes512 => gpt::disk::LogicalBlockSize::Lb512,
            Self::Bytes4096 => gpt::disk::LogicalBlockSize::Lb4096,
        }
    }
}

impl TryFrom<u64> for SectorSize {
    type Error = UnsupportedSectorSize;

    fn try_from(bytes: u64) -> Result<Self, UnsupportedSectorSize> {
        match bytes {
            512 => Ok(Self::Bytes512),
            4096 => Ok(Self::Bytes4096),
            other => Err(UnsupportedSectorSize(other)),
        }
    }
}

//! Where the levels of a tree stand, from the length of the data alone.
//!
//! Does not read or hash anything.

use super::{BLOCK_LENGTH_BYTES, DIGESTS_PER_BLOCK, VerityError};

/// One level of digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Where it begins in the tree, in bytes from the superblock's start.
    pub offset_bytes: u64,
    /// How many digests it holds, one for each block below it.
    pub digests: u64,
}

/// The levels of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// From the digests of the data up to the one block that the root hash is of; none at all if
    /// the data is a single block.
    pub levels: Vec<Level>,
    /// The length of the whole tree with its superblock.
    pub length_bytes: u64,
}

impl Level {
    /// Blocks of this level.
    pub fn blocks(&self) -> u64 {
        self.digests.div_ceil(DIGESTS_PER_BLOCK)
    }
}

impl Layout {
    /// The layout of the tree over this much data.
    ///
    /// # Errors
    /// If the data is empty or does not end at a block.
    pub fn of_data(data_length_bytes: u64) -> Result<Self, VerityError> {
        if data_length_bytes == 0 || !data_length_bytes.is_multiple_of(BLOCK_LENGTH_BYTES) {
            return Err(VerityError::DataLength(data_length_bytes));
        }
        let mut levels = Vec::new();
        let mut blocks_below = data_length_bytes / BLOCK_LENGTH_BYTES;
        while blocks_below > 1 {
            let level = Level {
                offset_bytes: 0,
                digests: blocks_below,
            };
            blocks_below = level.blocks();
            levels.push(level);
        }
        let mut length_bytes = BLOCK_LENGTH_BYTES;
        for level in levels.iter_mut().rev() {
            level.offset_bytes = length_bytes;
            length_bytes += level.blocks() * BLOCK_LENGTH_BYTES;
        }
        Ok(Self {
            levels,
            length_bytes,
        })
    }
}

/// The length of the tree over this much data, its superblock included.
///
/// # Errors
/// As [`Layout::of_data`].
pub fn tree_length_bytes(data_length_bytes: u64) -> Result<u64, VerityError> {
    Ok(Layout::of_data(data_length_bytes)?.length_bytes)
}

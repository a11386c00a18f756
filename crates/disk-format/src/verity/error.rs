//! What can be wrong with a hash tree, the data under it, or how they were asked for.
//!
//! Files and partitions are named by the caller: this crate only sees streams.

use std::io;

use thiserror::Error;

/// A hash tree that cannot be built or read, or does not fit its data.
#[derive(Debug, Error)]
pub enum VerityError {
    /// There is no data, or it does not end at a block.
    #[error("data of {0} bytes is not a positive number of blocks of 4096; pad it with zeros")]
    DataLength(u64),
    /// The superblock has no room for it.
    #[error("a salt of {0} bytes is longer than the superblock's 256")]
    SaltLength(usize),
    /// The data failed, or ended early.
    #[error("cannot read the data from byte {offset_bytes} on")]
    ReadData {
        /// Where the read that failed began.
        offset_bytes: u64,
        /// What the stream reported.
        #[source]
        source: io::Error,
    },
    /// The tree failed, or ended early.
    #[error("cannot read the hash tree")]
    ReadTree(#[source] io::Error),
    /// The tree could not be written.
    #[error("cannot write the hash tree")]
    WriteTree(#[source] io::Error),
    /// There is no dm-verity superblock.
    #[error("the hash tree does not begin with a dm-verity superblock")]
    NoSuperblock,
    /// A tree of a kind that Keelson does not write.
    #[error("the superblock's {field} is {value}, not {expected}")]
    Unsupported {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it must hold.
        expected: &'static str,
    },
    /// The tree's uppermost block, or the only block of data, is not what the root hash says.
    #[error("the root hash is that of another tree")]
    RootMismatch,
    /// A block of the tree was changed.
    #[error("the hash tree's block at byte {offset_bytes} does not have its digest")]
    TreeMismatch {
        /// Where the block begins in the tree.
        offset_bytes: u64,
    },
    /// A block of data was changed.
    #[error("the data's block {block} (at byte {}) does not have its digest", block * 4096)]
    DataMismatch {
        /// The block's number, counting from 0.
        block: u64,
    },
}

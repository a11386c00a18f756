//! Checking data against its tree and root hash, all of it at once.
//!
//! The kernel checks each block as it is read; this is for whoever wants to know beforehand.

use std::io::Read;

use super::build::for_each_chunk;
use super::{
    BLOCK_LENGTH, BLOCK_LENGTH_BYTES, Digest, Layout, Level, RootHash, Superblock, VerityError,
    hash_blocks,
};

/// Checks the tree from the root hash down, then all the data, and names the first bad block.
///
/// Holds the tree in memory. Streams may be longer than the tree and its data.
pub fn verify<D: Read, T: Read>(
    mut data: D,
    tree: T,
    root_hash: &RootHash,
) -> Result<Superblock, VerityError> {
    let (superblock, digests) = read_digests(tree, root_hash)?;
    let data_length_bytes = superblock.data_blocks * BLOCK_LENGTH_BYTES;
    let layout = Layout::of_data(data_length_bytes)?;
    let mut expected = digests.iter();
    let mut block = 0;
    for_each_chunk(&mut data, data_length_bytes, |chunk| {
        for digest in hash_blocks(&superblock.salt, chunk) {
            if expected.next() != Some(&digest) {
                return Err(data_mismatch(&layout, block));
            }
            block += 1;
        }
        Ok(())
    })?;
    Ok(superblock)
}

/// The superblock and the digests of all blocks of data, after the tree was checked from the root hash
/// down. The superblock itself is covered by nothing; with another salt the tree would not fit.
///
/// Holds the tree in memory. The stream may be longer than the tree.
pub fn read_digests<T: Read>(
    mut tree: T,
    root_hash: &RootHash,
) -> Result<(Superblock, Vec<Digest>), VerityError> {
    let mut first_block = [0; BLOCK_LENGTH];
    tree.read_exact(&mut first_block)
        .map_err(VerityError::ReadTree)?;
    let superblock = Superblock::parse(&first_block)?;
    let layout = Layout::of_data(superblock.data_blocks * BLOCK_LENGTH_BYTES)?;
    let bytes = verified_digests(&mut tree, &layout, &superblock.salt, root_hash)?;
    let mut digests = bytes.as_chunks().0.to_vec();
    // The last block of the level is padded with zeros.
    digests.truncate(usize::try_from(superblock.data_blocks).unwrap_or(usize::MAX));
    Ok((superblock, digests))
}

fn data_mismatch(layout: &Layout, block: u64) -> VerityError {
    if layout.levels.is_empty() {
        return VerityError::RootMismatch;
    }
    VerityError::DataMismatch { block }
}

/// The digests of the data, after every level above them was checked.
fn verified_digests<T: Read>(
    tree: &mut T,
    layout: &Layout,
    salt: &[u8],
    root_hash: &RootHash,
) -> Result<Vec<u8>, VerityError> {
    let mut digests = root_hash.0.to_vec();
    for (depth, level) in layout.levels.iter().rev().enumerate() {
        let blocks = read_level(tree, level)?;
        let found = hash_blocks(salt, &blocks);
        let bad = found
            .zip(digests.as_chunks().0)
            .position(|(found, expected)| found != *expected);
        match bad {
            Some(_) if depth == 0 => return Err(VerityError::RootMismatch),
            Some(index) => {
                let offset_bytes = level.offset_bytes + index as u64 * BLOCK_LENGTH_BYTES;
                return Err(VerityError::TreeMismatch { offset_bytes });
            }
            None => digests = blocks,
        }
    }
    Ok(digests)
}

/// Reads as it goes: the superblock's number of blocks is not to be trusted with an allocation.
fn read_level<T: Read>(tree: &mut T, level: &Level) -> Result<Vec<u8>, VerityError> {
    let length_bytes = level.blocks() * BLOCK_LENGTH_BYTES;
    let mut blocks = Vec::new();
    tree.take(length_bytes)
        .read_to_end(&mut blocks)
        .map_err(VerityError::ReadTree)?;
    if blocks.len() as u64 != length_bytes {
        return Err(VerityError::ReadTree(
            std::io::ErrorKind::UnexpectedEof.into(),
        ));
    }
    Ok(blocks)
}

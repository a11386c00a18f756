//! Building a tree over data that is read once, front to back.
//!
//! Does not use threads; whoever has some hashes the data with [`hash_blocks`] in parts, and
//! builds the tree from the digests.

use std::io::{Read, Write};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{BLOCK_LENGTH, BLOCK_LENGTH_BYTES, Digest, Layout, RootHash, Superblock, VerityError};

/// As much as stays in a processor's second-level cache while it is hashed.
const CHUNK_LENGTH: usize = 64 * BLOCK_LENGTH;

/// What a tree depends on besides the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerityOptions {
    /// What every block is hashed together with; at most 256 bytes.
    pub salt: Vec<u8>,
    /// What tells this tree from every other; not covered by the root hash.
    pub uuid: Uuid,
}

/// A tree that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltTree {
    /// What the data is verified by.
    pub root_hash: RootHash,
    /// Bytes written, superblock included.
    pub length_bytes: u64,
}

/// Reads `data_length_bytes` of `data` and writes superblock and tree to `tree`.
///
/// Holds the digests in memory, 1/128 of the data: the tree's first level depends on its last.
pub fn build<R: Read, W: Write>(
    mut data: R,
    data_length_bytes: u64,
    tree: W,
    options: &VerityOptions,
) -> Result<BuiltTree, VerityError> {
    Layout::of_data(data_length_bytes)?;
    let mut digests = Vec::new();
    for_each_chunk(&mut data, data_length_bytes, |chunk| {
        digests.extend(hash_blocks(&options.salt, chunk));
        Ok(())
    })?;
    build_from_digests(digests, tree, options)
}

/// The digests of whole blocks of data, in order, for [`build_from_digests`].
///
/// Parts of the data can be hashed in any order or at the same time. What follows the last whole
/// block of `data` is ignored.
pub fn hash_blocks(salt: &[u8], data: &[u8]) -> impl Iterator<Item = Digest> {
    let salted = Sha256::new_with_prefix(salt);
    data.chunks_exact(BLOCK_LENGTH).map(move |block| {
        let mut hasher = salted.clone();
        hasher.update(block);
        hasher.finalize().into()
    })
}

/// Writes superblock and tree over data whose blocks have these digests.
pub fn build_from_digests<W: Write>(
    digests: Vec<Digest>,
    mut tree: W,
    options: &VerityOptions,
) -> Result<BuiltTree, VerityError> {
    let data_blocks = digests.len() as u64;
    let length_bytes = Layout::of_data(data_blocks * BLOCK_LENGTH_BYTES)?.length_bytes;
    let superblock = Superblock {
        uuid: options.uuid,
        data_blocks,
        salt: options.salt.clone(),
    };
    superblock.check()?;
    let (levels, root_hash) = levels(digests, &options.salt);
    write_blocks(&mut tree, &superblock.to_bytes())?;
    for level in levels.iter().rev() {
        write_blocks(&mut tree, level.as_flattened())?;
    }
    tree.flush().map_err(VerityError::WriteTree)?;
    Ok(BuiltTree {
        root_hash,
        length_bytes,
    })
}

/// From the digests of the data up, without the root hash, which is returned beside them.
fn levels(data_digests: Vec<Digest>, salt: &[u8]) -> (Vec<Vec<Digest>>, RootHash) {
    let mut levels = Vec::new();
    let mut digests = data_digests;
    while digests.len() > 1 {
        let above = hash_level(&digests, salt);
        levels.push(std::mem::replace(&mut digests, above));
    }
    (levels, RootHash(digests[0]))
}

fn hash_level(digests: &[Digest], salt: &[u8]) -> Vec<Digest> {
    let mut above = Vec::new();
    for block in digests.chunks(BLOCK_LENGTH / size_of::<Digest>()) {
        let mut padded = [0; BLOCK_LENGTH];
        let block = block.as_flattened();
        padded[..block.len()].copy_from_slice(block);
        above.extend(hash_blocks(salt, &padded));
    }
    above
}

/// Writes these bytes, and zeros up to a whole number of blocks.
fn write_blocks<W: Write>(tree: &mut W, bytes: &[u8]) -> Result<(), VerityError> {
    let padding = bytes.len().next_multiple_of(BLOCK_LENGTH) - bytes.len();
    tree.write_all(bytes).map_err(VerityError::WriteTree)?;
    tree.write_all(&[0; BLOCK_LENGTH][..padding])
        .map_err(VerityError::WriteTree)
}

/// Reads exactly this much data and hands it on in chunks of whole blocks.
pub(super) fn for_each_chunk<R: Read>(
    data: &mut R,
    data_length_bytes: u64,
    mut handle: impl FnMut(&[u8]) -> Result<(), VerityError>,
) -> Result<(), VerityError> {
    let mut buffer = vec![0; CHUNK_LENGTH];
    let mut offset_bytes = 0;
    while offset_bytes < data_length_bytes {
        let left = data_length_bytes - offset_bytes;
        let length = usize::try_from(left).map_or(CHUNK_LENGTH, |left| left.min(CHUNK_LENGTH));
        let chunk = &mut buffer[..length];
        data.read_exact(chunk)
            .map_err(|source| VerityError::ReadData {
                offset_bytes,
                source,
            })?;
        handle(chunk)?;
        offset_bytes += length as u64;
    }
    Ok(())
}

//! The new hash tree: from the root hash down, blocks that an old tree also has are not fetched.
//!
//! Every block is checked against the level above it, the first against the root hash.

use std::collections::HashMap;
use std::ops::Range;

use disk_format::verity::{
    BLOCK_LENGTH_BYTES, Digest, Layout, Superblock, VerityError, hash_blocks, read_digests,
};
use sha2::{Digest as _, Sha256};
use update_model::manifest::Manifest;

use crate::download::{check_digest, with_other_mirrors};
use crate::error::{ClientError, Result};
use crate::source::{Source, read_range};

/// A tree that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// All of it, superblock included, as it stands on its partition.
    pub bytes: Vec<u8>,
    /// What its blocks were hashed with.
    pub salt: Vec<u8>,
    /// The digests of the root's blocks.
    pub leaves: Vec<Digest>,
    /// How many of its bytes were fetched.
    pub fetched_bytes: u64,
}

const BLOCK: usize = 4096;

impl Tree {
    /// Checks a tree that is here.
    pub fn check(bytes: Vec<u8>, manifest: &Manifest, fetched_bytes: u64) -> Result<Self> {
        check_digest(&manifest.verity, Sha256::digest(&bytes).into())?;
        let read = read_digests(&bytes[..], &manifest.root_hash);
        let (superblock, leaves) = read.map_err(|source| verity_error(manifest, source))?;
        if superblock.data_blocks != manifest.root_blocks() {
            return Err(ClientError::Contents {
                path: manifest.verity.path.clone(),
                problem: format!(
                    "it is over {} blocks, the manifest's root has {}",
                    superblock.data_blocks,
                    manifest.root_blocks()
                ),
            });
        }
        Ok(Self {
            bytes,
            salt: superblock.salt,
            leaves,
            fetched_bytes,
        })
    }

    /// Fetches a release's tree. `old` are trees that are here; what is wrong in them does no harm.
    pub fn fetch(source: &dyn Source, manifest: &Manifest, old: &[&[u8]]) -> Result<Self> {
        with_other_mirrors(source, || {
            let (bytes, fetched) = fetch_levels(source, manifest, old)?;
            Self::check(bytes, manifest, fetched)
        })
    }
}

fn verity_error(manifest: &Manifest, source: VerityError) -> ClientError {
    ClientError::Verity {
        path: manifest.verity.path.clone(),
        source,
    }
}

/// The tree's bytes and how many of them were fetched.
fn fetch_levels(source: &dyn Source, manifest: &Manifest, old: &[&[u8]]) -> Result<(Vec<u8>, u64)> {
    let path = &manifest.verity.path;
    let layout = Layout::of_data(manifest.root.length).map_err(|e| verity_error(manifest, e))?;
    let mut bytes = read_range(source, path, 0..BLOCK_LENGTH_BYTES)?;
    let mut fetched = BLOCK_LENGTH_BYTES;
    let superblock = Superblock::parse(&bytes).map_err(|e| verity_error(manifest, e))?;
    let known = known_blocks(old, &superblock.salt);
    let mut expected = vec![manifest.root_hash.0];
    for level in layout.levels.iter().rev() {
        let mut blocks = vec![0; expected.len() * BLOCK];
        let missing = copy_known(&known, &expected, &mut blocks);
        for run in missing {
            let range = level.offset_bytes + byte(run.start)..level.offset_bytes + byte(run.end);
            fetched += range.end - range.start;
            let came = read_range(source, path, range)?;
            let place = run.start * BLOCK..run.end * BLOCK;
            blocks[place].copy_from_slice(&came);
        }
        let bad = hash_blocks(&superblock.salt, &blocks)
            .zip(&expected)
            .position(|(found, expected)| found != *expected);
        if let Some(index) = bad {
            let offset_bytes = level.offset_bytes + byte(index);
            return Err(verity_error(
                manifest,
                VerityError::TreeMismatch { offset_bytes },
            ));
        }
        expected = blocks.as_chunks().0.to_vec();
        expected.truncate(usize::try_from(level.digests).unwrap_or(usize::MAX));
        bytes.extend(&blocks);
    }
    Ok((bytes, fetched))
}

fn byte(block: usize) -> u64 {
    block as u64 * BLOCK_LENGTH_BYTES
}

/// Blocks of old trees, by their digests as a tree's blocks.
fn known_blocks<'a>(old: &[&'a [u8]], salt: &[u8]) -> HashMap<Digest, &'a [u8]> {
    let mut known = HashMap::new();
    for tree in old {
        known.extend(hash_blocks(salt, tree).zip(tree.chunks_exact(BLOCK)));
    }
    known
}

/// Puts known blocks in place and says which are missing, in runs.
fn copy_known(
    known: &HashMap<Digest, &[u8]>,
    expected: &[Digest],
    blocks: &mut [u8],
) -> Vec<Range<usize>> {
    let mut missing: Vec<Range<usize>> = Vec::new();
    for (index, (digest, block)) in expected
        .iter()
        .zip(blocks.chunks_exact_mut(BLOCK))
        .enumerate()
    {
        match (known.get(digest), missing.last_mut()) {
            (Some(found), _) => block.copy_from_slice(found),
            (None, Some(last)) if last.end == index => last.end += 1,
            (None, _) => missing.push(index..index + 1),
        }
    }
    missing
}

//! Making static deltas from earlier releases, and telling whether one is worth offering.
//!
//! What a delta's frames hold is described at `Delta` of `update-model`.

use std::io::{Cursor, Read as _};
use std::path::Path;

use disk_format::verity::Digest;
use seekable_zstd::SeekTable;
use update_client::boot_image::missing_bytes;
use update_client::delta::read_all;
use update_client::root::GAP_BYTES;
use update_client::tree::Tree;
use update_model::block_plan::{Local, plan};
use update_model::manifest::{Delta, Manifest};
use update_model::method::{Choice, Method, choose};
use update_model::residue::residue;

use crate::compress::{compress_error, store, with_prefix};
use crate::directory::local;
use crate::error::{ReleaseError, Result, read};

/// A delta that saves less than this part of what is fetched otherwise is not worth its file.
const LEAST_SAVING: u64 = 20;

/// A release in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) root: Vec<u8>,
    pub(crate) tree: Tree,
    pub(crate) uki: Vec<u8>,
}

impl Loaded {
    /// An earlier release of a directory.
    pub(crate) fn read(directory: &Path, manifest: &Manifest) -> Result<Self> {
        let path = local(directory, &manifest.root.full.path);
        let compressed = read(&path)?;
        let mut root = Vec::new();
        zstd::Decoder::new(&compressed[..])
            .and_then(|mut decoder| {
                decoder.window_log_max(31)?;
                decoder
                    .take(manifest.root.length + 1)
                    .read_to_end(&mut root)
            })
            .map_err(|e| compress_error(&path, e))?;
        let tree = read_tree(directory, manifest)?;
        let uki = read(&local(directory, &manifest.uki.file.path))?;
        let loaded = Self { root, tree, uki };
        loaded.check(manifest)?;
        Ok(loaded)
    }

    /// Nothing is derived from what is damaged.
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let found = disk_format::verity::hash_blocks(&self.tree.salt, &self.root);
        let is_same = found.eq(self.tree.leaves.iter().copied())
            && crate::compress::digest(&self.uki) == manifest.uki.file.sha256;
        if is_same {
            return Ok(());
        }
        Err(ReleaseError::Existing(
            update_client::error::ClientError::Contents {
                path: manifest.root.full.path.clone(),
                problem: "root or kernel image are not what the manifest says".to_owned(),
            },
        ))
    }
}

/// An earlier release's hash tree.
pub(crate) fn read_tree(directory: &Path, manifest: &Manifest) -> Result<Tree> {
    let tree = read(&local(directory, &manifest.verity.path))?;
    Tree::check(tree, manifest, 0).map_err(ReleaseError::Existing)
}

/// What became of a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is offered.
    Offered(Delta),
    /// Something else takes fewer bytes.
    NotWorthIt {
        /// What it would have cost, in bytes.
        bytes: u64,
        /// What costs less.
        instead: Choice,
    },
}

/// Makes a delta between two releases; `manifest` is the new one's, so far without it.
pub(crate) fn make(
    directory: &Path,
    old: (&Manifest, &Loaded),
    new: (&Manifest, &Loaded),
    frames: &SeekTable,
    level: i32,
) -> Result<Outcome> {
    let ((old_manifest, old), (manifest, new)) = (old, new);
    let residue = residue(&old.tree.leaves, &new.tree.leaves);
    let blocks = |root: &Vec<u8>, numbers: &[u64]| {
        read_all(&mut Cursor::new(root), numbers).map_err(ReleaseError::Image)
    };
    let prefix = blocks(&old.root, &residue.prefix)?;
    let contents = blocks(&new.root, &residue.contents)?;
    let failed = |e| compress_error(directory, e);
    let tree = with_prefix(&new.tree.bytes, &old.tree.bytes, level).map_err(failed)?;
    let root = with_prefix(&contents, &prefix, level).map_err(failed)?;
    let uki = with_prefix(&new.uki, &old.uki, level).map_err(failed)?;
    let bytes = [&tree[..], &root, &uki].concat();
    let instead = best_without(old, manifest, new, frames);
    if bytes.len() as u64 > instead.bytes - instead.bytes / LEAST_SAVING {
        return Ok(Outcome::NotWorthIt {
            bytes: bytes.len() as u64,
            instead,
        });
    }
    let folder = format!("files/{}-{}", manifest.product, manifest.version);
    let path = format!("{folder}/from-{}.zst", old_manifest.version);
    Ok(Outcome::Offered(Delta {
        from: old_manifest.version.clone(),
        from_root_hash: old_manifest.root_hash,
        from_uki: old_manifest.uki.file.sha256,
        file: store(directory, &path, &bytes)?,
        tree_length: tree.len() as u64,
        root_length: root.len() as u64,
        uki_length: uki.len() as u64,
    }))
}

/// What a machine with the old release would fetch otherwise.
fn best_without(old: &Loaded, manifest: &Manifest, new: &Loaded, frames: &SeekTable) -> Choice {
    let old_leaves: &[Digest] = &old.tree.leaves;
    let here = Local {
        target: &[],
        others: &[old_leaves],
    };
    let plan = plan(&new.tree.leaves, here, frames, GAP_BYTES);
    let block_delta = plan.fetched_bytes()
        + manifest.root.index.length
        + tree_bytes(old, new)
        + missing_bytes(&manifest.uki, &[&old.uki]);
    let full = manifest.root.full.length + manifest.verity.length + manifest.uki.file.length;
    let choice = choose(Some(block_delta), None, full);
    debug_assert_ne!(choice.method, Method::StaticDelta);
    choice
}

/// Blocks of the new tree that the old one does not have, in bytes.
fn tree_bytes(old: &Loaded, new: &Loaded) -> u64 {
    let old_blocks: std::collections::HashSet<&[u8]> = old.tree.bytes.chunks(4096).collect();
    let missing = new
        .tree
        .bytes
        .chunks(4096)
        .filter(|block| !old_blocks.contains(block));
    missing.count() as u64 * 4096
}

//! Static deltas: a file that leads from an installed release to a new one.
//!
//! The file's three frames and what each is compressed with are described at [`Delta`] of `update-model`.
//! What comes out is checked like everything else, so a wrong delta cannot do more than fail.

use std::io::{Read, Seek, SeekFrom};

use disk_format::disk::Disk;
use disk_format::verity::RootHash;
use sha2::{Digest as _, Sha256};
use update_model::digest::FileDigest;
use update_model::manifest::{Delta, Manifest};
use update_model::residue::{Residue, residue};

use crate::download::check_digest;
use crate::error::{ClientError, Result};
use crate::root::{CHUNK_BLOCKS, Installed, Progress, Report, chunks, prefix_decoder};
use crate::slot_writer::{SlotWriter, read_blocks};
use crate::tree::Tree;

/// The release that a delta leads from, as far as it is installed here.
#[derive(Debug)]
pub struct Base<'a, R> {
    /// What its root is verified by.
    pub root_hash: RootHash,
    /// Its root and the digests of its blocks.
    pub installed: Installed<R>,
    /// Its hash tree.
    pub tree: &'a [u8],
    /// Its unified kernel image.
    pub uki: &'a [u8],
}

/// The delta to this release from what is installed, if it offers one.
pub fn find<'a, R>(manifest: &'a Manifest, base: &Base<'_, R>) -> Option<&'a Delta> {
    let deltas = manifest.deltas.iter();
    let mut matching = deltas.filter(|delta| check_base(delta, base).is_ok());
    matching.next()
}

fn check_base<R>(delta: &Delta, base: &Base<'_, R>) -> Result<()> {
    let wrong = |what| ClientError::WrongBase {
        from: delta.from.clone(),
        what,
    };
    if delta.from_root_hash != base.root_hash {
        return Err(wrong("root"));
    }
    if delta.from_uki != FileDigest(Sha256::digest(base.uki).into()) {
        return Err(wrong("kernel image"));
    }
    Ok(())
}

/// A delta that was fetched, over its base.
#[derive(Debug)]
pub struct OpenDelta<'a, F> {
    file: F,
    delta: &'a Delta,
    manifest: &'a Manifest,
}

impl<'a, F: Read + Seek> OpenDelta<'a, F> {
    /// A file whose digest was checked, as [`crate::download::download`] does.
    pub fn new<R>(
        file: F,
        delta: &'a Delta,
        manifest: &'a Manifest,
        base: &Base<'_, R>,
    ) -> Result<Self> {
        check_base(delta, base)?;
        Ok(Self {
            file,
            delta,
            manifest,
        })
    }

    /// The new hash tree.
    pub fn tree<R>(&mut self, base: &Base<'_, R>) -> Result<Tree> {
        let length = self.manifest.verity.length;
        let tree = self.decompress(0, self.delta.tree_length, base.tree, length)?;
        Tree::check(tree, self.manifest, self.delta.tree_length)
    }

    /// The new unified kernel image.
    pub fn boot_image<R>(&mut self, base: &Base<'_, R>) -> Result<Vec<u8>> {
        let start = self.delta.tree_length + self.delta.root_length;
        let file = &self.manifest.uki.file;
        let image = self.decompress(start, self.delta.uki_length, base.uki, file.length)?;
        check_digest(file, Sha256::digest(&image).into())?;
        Ok(image)
    }

    /// Writes the new root's blocks that the old one does not have, then those that it has.
    pub fn write_root<D: Disk, R: Read + Seek>(
        &mut self,
        base: &mut Base<'_, R>,
        tree: &Tree,
        writer: &mut SlotWriter<'_, D>,
        report: Report<'_>,
    ) -> Result<()> {
        let residue = residue(&base.installed.leaves, &tree.leaves);
        let prefix = read_all(&mut base.installed.root, &residue.prefix)?;
        self.write_residue(&residue, &prefix, writer, report)?;
        copy_needed(&mut base.installed, writer)?;
        report(Progress {
            missing_blocks: writer.missing_count(),
            fetched_bytes: self.delta.file.length,
        });
        if writer.missing_count() == 0 {
            return Ok(());
        }
        Err(ClientError::Contents {
            path: self.delta.file.path.clone(),
            problem: format!(
                "{} blocks are missing after it was applied: the root that is installed is damaged",
                writer.missing_count()
            ),
        })
    }

    fn write_residue<D: Disk>(
        &mut self,
        residue: &Residue,
        prefix: &[u8],
        writer: &mut SlotWriter<'_, D>,
        report: Report<'_>,
    ) -> Result<()> {
        let path = &self.delta.file.path;
        let length = residue.contents.len() as u64 * 4096;
        self.seek(self.delta.tree_length)?;
        let body = (&mut self.file).take(self.delta.root_length);
        let mut data = prefix_decoder(body, prefix, path)?.take(length);
        loop {
            let mut blocks = Vec::new();
            let count = (&mut data)
                .take(CHUNK_BLOCKS * 4096)
                .read_to_end(&mut blocks)
                .map_err(|source| ClientError::Decompress {
                    path: path.clone(),
                    source,
                })?;
            if count == 0 {
                return Ok(());
            }
            writer.offer(&blocks)?;
            report(Progress {
                missing_blocks: writer.missing_count(),
                fetched_bytes: self.delta.file.length,
            });
        }
    }

    /// Decompresses one frame of the file to exactly so many bytes.
    fn decompress(
        &mut self,
        start: u64,
        compressed_length: u64,
        prefix: &[u8],
        length: u64,
    ) -> Result<Vec<u8>> {
        self.seek(start)?;
        let path = &self.delta.file.path;
        let body = (&mut self.file).take(compressed_length);
        let mut bytes = Vec::new();
        prefix_decoder(body, prefix, path)?
            .take(length + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| ClientError::Decompress {
                path: path.clone(),
                source,
            })?;
        Ok(bytes)
    }

    fn seek(&mut self, to: u64) -> Result<()> {
        self.file
            .seek(SeekFrom::Start(to))
            .map_err(|source| ClientError::Slot {
                action: "read the fetched delta",
                source,
            })?;
        Ok(())
    }
}

/// Reads blocks one after the other.
pub fn read_all<R: Read + Seek>(root: &mut R, blocks: &[u64]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for block in blocks {
        let read = read_blocks(root, *block, 1).map_err(|source| ClientError::Slot {
            action: "read the installed root",
            source,
        })?;
        bytes.extend(read);
    }
    Ok(bytes)
}

/// Copies whatever is missing from an installed root, neighbours at once.
fn copy_needed<D: Disk, R: Read + Seek>(
    installed: &mut Installed<R>,
    writer: &mut SlotWriter<'_, D>,
) -> Result<()> {
    let leaves = (0..).zip(&installed.leaves);
    let needed: Vec<u64> = leaves
        .filter(|(_, digest)| writer.needs(digest))
        .map(|(block, _)| block)
        .collect();
    for run in needed.chunk_by(|block, next| block + 1 == *next) {
        for (first, count) in chunks(run[0], run.len() as u64) {
            let read = read_blocks(&mut installed.root, first, count);
            let blocks = read.map_err(|source| ClientError::Slot {
                action: "read the installed root",
                source,
            })?;
            writer.offer(&blocks)?;
        }
    }
    Ok(())
}

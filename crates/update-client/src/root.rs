//! The new root, written into a slot: from blocks that are here and frames that are fetched, or whole.
//!
//! Every block is checked against the hash tree before it is written. Whatever was interrupted goes on
//! by being done again. Static deltas are [`crate::delta`]'s.

use std::io::{Read, Seek};

use disk_format::disk::Disk;
use disk_format::verity::Digest;
use seekable_zstd::{Frame, SeekTable, decompress_frame};
use update_model::block_plan::{BlockPlan, Fetch, Local, plan};
use update_model::manifest::{FRAME_LENGTH_MAX, Manifest};

use crate::download::{fetch, with_other_mirrors};
use crate::error::{ClientError, Result};
use crate::slot_writer::{SlotWriter, read_blocks};
use crate::source::{Source, fetch_error, open};

/// Frames with fewer bytes between them are fetched at once: a request costs about as much.
pub const GAP_BYTES: u64 = 8192;
/// Largest window of a Zstandard frame that is decompressed; memory is taken only as data comes.
const WINDOW_LOG_MAX: u32 = 31;
/// Blocks read, decompressed or copied at once.
pub(crate) const CHUNK_BLOCKS: u64 = 256;

/// A root that is installed on this machine.
#[derive(Debug)]
pub struct Installed<R> {
    /// Its file system.
    pub root: R,
    /// The digests of its blocks, from its tree.
    pub leaves: Vec<Digest>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Blocks of the new root that are not in place yet.
    pub missing_blocks: u64,
    /// Bytes fetched so far.
    pub fetched_bytes: u64,
}

/// Called now and then.
pub type Report<'a> = &'a mut dyn FnMut(Progress);

/// Fetches the seek table of a release's frames and checks it against the manifest.
pub fn fetch_index(source: &dyn Source, manifest: &Manifest) -> Result<SeekTable> {
    with_other_mirrors(source, || {
        let compressed = fetch(source, &manifest.root.index)?;
        parse_index(manifest, &compressed)
    })
}

/// Reads an index file and checks that it fits its root.
pub fn parse_index(manifest: &Manifest, compressed: &[u8]) -> Result<SeekTable> {
    let path = &manifest.root.index.path;
    let frames_limit = manifest.root.length / 4096;
    let limit = SeekTable::encoded_length(usize::try_from(frames_limit).unwrap_or(usize::MAX / 16));
    let mut bytes = Vec::new();
    zstd::Decoder::new(compressed)
        .and_then(|decoder| decoder.take(limit as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| ClientError::Decompress {
            path: path.clone(),
            source,
        })?;
    let table = SeekTable::parse(&bytes).map_err(|source| ClientError::Frames {
        path: path.clone(),
        source,
    })?;
    check_index(manifest, &table)?;
    Ok(table)
}

fn check_index(manifest: &Manifest, table: &SeekTable) -> Result<()> {
    let root = &manifest.root;
    let problem = |problem: String| {
        Err(ClientError::Contents {
            path: root.index.path.clone(),
            problem,
        })
    };
    let file_length =
        table.compressed_length() + SeekTable::encoded_length(table.frames().len()) as u64;
    if table.length() != root.length || file_length != root.frames.length {
        return problem(format!(
            "its frames are of {} and {} bytes, root and file of frames of {} and {}",
            table.length(),
            file_length,
            root.length,
            root.frames.length
        ));
    }
    let is_odd =
        |frame: &&Frame| frame.length > FRAME_LENGTH_MAX || !frame.length.is_multiple_of(4096);
    match table.frames().iter().find(is_odd) {
        Some(frame) => problem(format!(
            "a frame of {} bytes is not of whole blocks, or longer than {FRAME_LENGTH_MAX}",
            frame.length
        )),
        None => Ok(()),
    }
}

/// What a block delta would copy and fetch.
pub fn block_plan<D: Disk, R>(
    writer: &SlotWriter<'_, D>,
    leaves: &[Digest],
    installed: &[Installed<R>],
    index: &SeekTable,
) -> BlockPlan {
    let others: Vec<&[Digest]> = installed.iter().map(|one| &one.leaves[..]).collect();
    let local = Local {
        target: writer.found(),
        others: &others,
    };
    plan(leaves, local, index, GAP_BYTES)
}

/// Copies what a plan found here. A block that is not what its tree says is left for fetching.
pub fn copy_local<D: Disk, R: Read + Seek>(
    writer: &mut SlotWriter<'_, D>,
    installed: &mut [Installed<R>],
    plan: &BlockPlan,
) -> Result<()> {
    for copy in &plan.moves {
        for (first, count) in chunks(copy.from, copy.count) {
            let blocks = writer.read(first, count)?;
            writer.offer(&blocks)?;
        }
    }
    for (place, copy) in &plan.copies {
        for (first, count) in chunks(copy.from, copy.count) {
            // A slot that cannot be read is as good as none.
            if let Ok(blocks) = read_blocks(&mut installed[*place].root, first, count) {
                writer.offer(&blocks)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn chunks(first: u64, count: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..count.div_ceil(CHUNK_BLOCKS)).map(move |chunk| {
        let start = chunk * CHUNK_BLOCKS;
        (first + start, (count - start).min(CHUNK_BLOCKS))
    })
}

/// Fetches the frames of all blocks that are still missing, and returns the bytes fetched.
pub fn fetch_missing<D: Disk>(
    source: &dyn Source,
    manifest: &Manifest,
    index: &SeekTable,
    writer: &mut SlotWriter<'_, D>,
    leaves: &[Digest],
    report: Report<'_>,
) -> Result<u64> {
    let mut fetched_bytes = 0;
    for fetch in missing_frames(writer, leaves, index) {
        with_other_mirrors(source, || {
            fetch_run(
                source,
                manifest,
                index,
                writer,
                &fetch,
                &mut |frame_bytes, missing_blocks| {
                    fetched_bytes += frame_bytes;
                    report(Progress {
                        missing_blocks,
                        fetched_bytes,
                    });
                },
            )
        })?;
    }
    Ok(fetched_bytes)
}

/// The requests for what is missing now.
fn missing_frames<D: Disk>(
    writer: &SlotWriter<'_, D>,
    leaves: &[Digest],
    index: &SeekTable,
) -> Vec<Fetch> {
    let digest = |leaf: &Digest| if writer.needs(leaf) { [0; 32] } else { *leaf };
    let target: Vec<Digest> = leaves.iter().map(digest).collect();
    let local = Local {
        target: &target,
        others: &[],
    };
    plan(leaves, local, index, GAP_BYTES).fetches
}

/// Fetches neighbouring frames, from the first that is of use on.
fn fetch_run<D: Disk>(
    source: &dyn Source,
    manifest: &Manifest,
    index: &SeekTable,
    writer: &mut SlotWriter<'_, D>,
    fetch: &Fetch,
    landed: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let path = &manifest.root.frames.path;
    let frames = &index.frames()[fetch.frames.clone()];
    let Some(first) = frames.iter().position(|frame| lacks(writer, frame)) else {
        return Ok(());
    };
    let frames = &frames[first..];
    let range = frames[0].compressed_offset..fetch.bytes.end;
    let mut body = open(source, path, Some(range))?;
    for frame in frames {
        let mut compressed = Vec::new();
        let length = u64::from(frame.compressed_length);
        (&mut body)
            .take(length)
            .read_to_end(&mut compressed)
            .map_err(|error| fetch_error(source, path, error))?;
        let blocks =
            decompress_frame(&compressed, frame.length).map_err(|source| ClientError::Frames {
                path: path.clone(),
                source,
            })?;
        writer.offer(&blocks)?;
        if lacks(writer, frame) {
            return Err(ClientError::Contents {
                path: path.clone(),
                problem: format!(
                    "the frame at byte {} holds other blocks than the hash tree says",
                    frame.compressed_offset
                ),
            });
        }
        landed(length, writer.missing_count());
    }
    Ok(())
}

/// Whether any block of a frame is missing.
fn lacks<D: Disk>(writer: &SlotWriter<'_, D>, frame: &Frame) -> bool {
    let first = frame.offset / 4096;
    let blocks = first..first + u64::from(frame.length) / 4096;
    blocks.into_iter().any(|block| !writer.has(block))
}

/// Fetches all of a root in its smallest form.
pub fn fetch_full<D: Disk>(
    source: &dyn Source,
    manifest: &Manifest,
    writer: &mut SlotWriter<'_, D>,
    report: Report<'_>,
) -> Result<()> {
    let file = &manifest.root.full;
    with_other_mirrors(source, || {
        let body = open(source, &file.path, Some(0..file.length))?;
        let mut data = decoder(body, &file.path)?;
        for (first, count) in chunks(0, manifest.root_blocks()) {
            let mut blocks = Vec::new();
            (&mut data)
                .take(count * 4096)
                .read_to_end(&mut blocks)
                .map_err(|source| ClientError::Decompress {
                    path: file.path.clone(),
                    source,
                })?;
            writer.offer(&blocks)?;
            if let Some(bad) = (first..first + count).find(|block| !writer.has(*block)) {
                return Err(ClientError::Contents {
                    path: file.path.clone(),
                    problem: format!("block {bad} is not what the hash tree says"),
                });
            }
            report(Progress {
                missing_blocks: writer.missing_count(),
                fetched_bytes: file.length * (first + count) / manifest.root_blocks(),
            });
        }
        Ok(())
    })
}

/// Decompresses a single frame of any window.
pub(crate) fn decoder<R: Read>(body: R, path: &str) -> Result<impl Read> {
    let failed = |source| ClientError::Decompress {
        path: path.to_owned(),
        source,
    };
    let mut decoder = zstd::Decoder::new(body).map_err(failed)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
    Ok(decoder)
}

/// Decompresses a single frame that was compressed with a prefix.
pub(crate) fn prefix_decoder<'a, R: Read + 'a>(
    body: R,
    prefix: &'a [u8],
    path: &str,
) -> Result<impl Read + use<'a, R>> {
    let failed = |source| ClientError::Decompress {
        path: path.to_owned(),
        source,
    };
    let body = std::io::BufReader::new(body);
    let mut decoder = zstd::Decoder::with_ref_prefix(body, prefix)
        .map_err(failed)?
        .single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
    Ok(decoder)
}

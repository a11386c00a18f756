//! The root in the two forms in which it is fetched: whole, as small as can be, and in frames.
//!
//! The same bytes come out whatever number of threads works on them.

use std::io::Write as _;
use std::path::Path;

use seekable_zstd::{FrameCompressor, SeekTable, SeekableError};
use update_model::digest::FileDigest;
use update_model::manifest::File;

use crate::error::{ReleaseError, Result, write};

/// Largest window for a whole root: what it costs is memory where it is decompressed, 128 MiB.
const FULL_WINDOW_LOG: u32 = 27;
/// Largest window where a prefix is used; zstd's limit.
const PREFIX_WINDOW_LOG_MAX: u32 = 31;
const WINDOW_LOG_MIN: u32 = 10;

/// Writes a file into a release and describes it for the manifest.
pub(crate) fn store(directory: &Path, path: &str, bytes: &[u8]) -> Result<File> {
    write(&crate::directory::local(directory, path), bytes)?;
    Ok(File {
        path: path.to_owned(),
        length: bytes.len() as u64,
        sha256: update_client::check::digest(bytes),
    })
}

/// All of it in one frame.
pub fn whole(data: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let window_log = window_log(data.len()).min(FULL_WINDOW_LOG);
    let encoder = zstd::Encoder::new(Vec::new(), level)?;
    finish(encoder, data, window_log)
}

/// All of it in one frame, for whoever has the prefix.
pub fn with_prefix(data: &[u8], prefix: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let window_log = window_log(data.len() + prefix.len());
    let encoder = zstd::Encoder::with_ref_prefix(Vec::new(), level, prefix)?;
    finish(encoder, data, window_log)
}

fn finish(
    mut encoder: zstd::Encoder<'_, Vec<u8>>,
    data: &[u8],
    window_log: u32,
) -> std::io::Result<Vec<u8>> {
    encoder.window_log(window_log)?;
    encoder.long_distance_matching(true)?;
    encoder.set_pledged_src_size(Some(data.len() as u64))?;
    encoder.write_all(data)?;
    encoder.finish()
}

/// The least window that reaches over so many bytes.
fn window_log(length: usize) -> u32 {
    let log = length.max(1).next_power_of_two().trailing_zeros();
    log.clamp(WINDOW_LOG_MIN, PREFIX_WINDOW_LOG_MAX)
}

/// In frames of these lengths, ended by their seek table; with the table. What the lengths do not reach is left out.
pub fn frames(
    data: &[u8],
    lengths: &[usize],
    level: i32,
) -> std::result::Result<(Vec<u8>, SeekTable), SeekableError> {
    let mut rest = data;
    let cut = lengths.iter().map_while(|length| {
        let (frame, behind) = rest.split_at_checked(*length)?;
        rest = behind;
        Some(frame)
    });
    let contents: Vec<&[u8]> = cut.collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = contents.len().div_ceil(threads).max(1);
    let parts: Vec<std::result::Result<Vec<Vec<u8>>, SeekableError>> =
        std::thread::scope(|scope| {
            let workers: Vec<_> = contents
                .chunks(share)
                .map(|part| scope.spawn(move || compress_all(part, level)))
                .collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().map(join).collect()
        });
    let (mut bytes, mut table) = (Vec::new(), SeekTable::default());
    let mut contents = contents.iter();
    for part in parts {
        for frame in part? {
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            table.push(length(&frame), contents.next().map_or(0, |one| length(one)))?;
            bytes.extend(frame);
        }
    }
    bytes.extend(table.to_bytes());
    Ok((bytes, table))
}

fn compress_all(
    contents: &[&[u8]],
    level: i32,
) -> std::result::Result<Vec<Vec<u8>>, SeekableError> {
    let mut compressor = FrameCompressor::new(level)?;
    contents
        .iter()
        .map(|one| compressor.compress(one))
        .collect()
}

pub(crate) fn compress_error<E>(path: &Path, source: E) -> ReleaseError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    ReleaseError::Compress {
        path: path.into(),
        source: source.into(),
    }
}

/// The digest that a manifest has for bytes.
pub(crate) fn digest(bytes: &[u8]) -> FileDigest {
    update_client::check::digest(bytes)
}

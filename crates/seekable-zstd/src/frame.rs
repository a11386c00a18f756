//! Compressing data into frames and one frame back.
//!
//! Uses no threads: whoever has some compresses parts of the data with a [`FrameCompressor`] each.

use std::io::{Read, Write};

use zstd::bulk::Compressor;

use crate::{SeekTable, SeekableError};

/// Compresses one frame after another at one level.
pub struct FrameCompressor {
    compressor: Compressor<'static>,
}

impl std::fmt::Debug for FrameCompressor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FrameCompressor")
            .finish_non_exhaustive()
    }
}

impl FrameCompressor {
    /// A compressor at a level of zstd's, 1 to 22.
    pub fn new(level: i32) -> Result<Self, SeekableError> {
        let compressor = Compressor::new(level).map_err(SeekableError::Compress)?;
        Ok(Self { compressor })
    }

    /// A frame with these contents; equal contents give equal frames.
    pub fn compress(&mut self, contents: &[u8]) -> Result<Vec<u8>, SeekableError> {
        self.compressor
            .compress(contents)
            .map_err(SeekableError::Compress)
    }
}

/// Compresses `data` in frames of `frame_length` bytes, writes them and the seek table, which is returned.
///
/// # Errors
/// If a stream fails, or `frame_length` is 0 or over 1 GiB.
pub fn compress<R: Read, W: Write>(
    mut data: R,
    mut target: W,
    frame_length: u32,
    level: i32,
) -> Result<SeekTable, SeekableError> {
    if frame_length == 0 {
        let problem = "would be empty";
        return Err(SeekableError::Frame { frame: 0, problem });
    }
    let mut compressor = FrameCompressor::new(level)?;
    let mut table = SeekTable::default();
    loop {
        let mut contents = Vec::new();
        (&mut data)
            .take(frame_length.into())
            .read_to_end(&mut contents)
            .map_err(SeekableError::Compress)?;
        if contents.is_empty() {
            break;
        }
        let frame = compressor.compress(&contents)?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        table.push(length(&frame), length(&contents))?;
        target.write_all(&frame).map_err(SeekableError::Compress)?;
    }
    target
        .write_all(&table.to_bytes())
        .map_err(SeekableError::Compress)?;
    Ok(table)
}

/// The contents of one frame, which the seek table says are `length` bytes long.
///
/// Allocates `length` bytes whatever the frame claims: check the table's lengths against what is expected
/// of the file first.
pub fn decompress_frame(frame: &[u8], length: u32) -> Result<Vec<u8>, SeekableError> {
    let contents =
        zstd::bulk::decompress(frame, length as usize).map_err(SeekableError::Decompress)?;
    if contents.len() != length as usize {
        return Err(SeekableError::Length {
            found: contents.len(),
            expected: length,
        });
    }
    Ok(contents)
}

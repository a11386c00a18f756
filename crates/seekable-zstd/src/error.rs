//! What can be wrong with a seek table or a frame.

use std::io;

use thiserror::Error;

/// Bytes that are no seekable Zstandard, or not what was expected of them.
#[derive(Debug, Error)]
pub enum SeekableError {
    /// The bytes do not end in a seek table.
    #[error("no seek table: {0}")]
    NoSeekTable(&'static str),
    /// The table says something that cannot be.
    #[error("the seek table's frame {frame} {problem}")]
    Frame {
        /// Its number, counting from 0.
        frame: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More frames than the format allows.
    #[error("{0} frames are more than a seek table can hold")]
    TooManyFrames(usize),
    /// A frame does not decompress.
    #[error("a frame does not decompress")]
    Decompress(#[source] io::Error),
    /// A frame holds something else than the table says.
    #[error("a frame decompresses to {found} bytes, the seek table says {expected}")]
    Length {
        /// What came out.
        found: usize,
        /// What the table says.
        expected: u32,
    },
    /// The compressor refused, or data could not be read or written.
    #[error("cannot compress")]
    Compress(#[source] io::Error),
}

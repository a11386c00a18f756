//! Zstandard in independent frames with a seek table, so that a part can be read without the rest.
//!
//! Format: frames of RFC 8878, each compressed by itself, then the seek table in a skippable frame, as
//! described in `contrib/seekable_format/zstd_seekable_compression_format.md` of the zstd project, without
//! the table's optional checksums: whoever uses this has better ones. Any zstd decompressor reads the whole.
//!
//! Lengths that stand in a file are never trusted with an allocation. Does not open files.

mod error;
mod frame;
mod seek_table;

pub use error::SeekableError;
pub use frame::{FrameCompressor, compress, decompress_frame};
pub use seek_table::{Frame, SeekTable};

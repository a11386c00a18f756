//! The table at the end: how long every frame is, compressed and not.
//!
//! Does not compress anything.

use std::ops::Range;

use crate::SeekableError;

/// Of a skippable frame with a seek table.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
/// At the very end.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
/// Magic and length of a skippable frame.
const HEADER_LENGTH: usize = 8;
/// Number of frames, descriptor, magic.
const FOOTER_LENGTH: usize = 9;
/// In the descriptor: entries carry a checksum of 4 bytes.
const CHECKSUM_FLAG: u8 = 1 << 7;
/// In the descriptor: must be 0.
const RESERVED_BITS: u8 = 0b0111_1100;
/// `ZSTD_SEEKABLE_MAXFRAMES`.
const FRAMES_MAX: usize = 0x0800_0000;
/// `ZSTD_SEEKABLE_MAX_FRAME_DECOMPRESSED_SIZE`, in bytes.
const FRAME_LENGTH_MAX: u32 = 0x4000_0000;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the compressed file, in bytes.
    pub compressed_offset: u64,
    /// How long it is there.
    pub compressed_length: u32,
    /// Where its contents begin in the uncompressed data.
    pub offset: u64,
    /// How long its contents are.
    pub length: u32,
}

/// All frames, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeekTable {
    frames: Vec<Frame>,
}

impl Frame {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }

    fn compressed_end(&self) -> u64 {
        self.compressed_offset + u64::from(self.compressed_length)
    }
}

impl SeekTable {
    /// The frames, in order.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Bytes of the uncompressed data.
    pub fn length(&self) -> u64 {
        self.frames.last().map_or(0, Frame::end)
    }

    /// Bytes of all frames, without the table.
    pub fn compressed_length(&self) -> u64 {
        self.frames.last().map_or(0, Frame::compressed_end)
    }

    /// Adds the next frame.
    ///
    /// # Errors
    /// If it is empty, too long for the format, or one too many.
    pub fn push(&mut self, compressed_length: u32, length: u32) -> Result<(), SeekableError> {
        let frame = self.frames.len();
        let problem = |problem| Err(SeekableError::Frame { frame, problem });
        if frame >= FRAMES_MAX {
            return Err(SeekableError::TooManyFrames(frame + 1));
        }
        if length == 0 || compressed_length == 0 {
            return problem("is empty");
        }
        if length > FRAME_LENGTH_MAX {
            return problem("is longer than 1 GiB");
        }
        // 2^27 frames of 2^32 bytes: the sums fit.
        self.frames.push(Frame {
            compressed_offset: self.compressed_length(),
            compressed_length,
            offset: self.length(),
            length,
        });
        Ok(())
    }

    /// The numbers of the frames that hold any of these bytes of the uncompressed data.
    pub fn frames_of(&self, bytes: Range<u64>) -> Range<usize> {
        let first = self
            .frames
            .partition_point(|frame| frame.end() <= bytes.start);
        let end = self
            .frames
            .partition_point(|frame| frame.offset < bytes.end);
        first..end.max(first)
    }

    /// How long the table's bytes are for so many frames.
    pub fn encoded_length(frames: usize) -> usize {
        HEADER_LENGTH + frames * 8 + FOOTER_LENGTH
    }

    /// The skippable frame that ends a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let content_length = self.frames.len() * 8 + FOOTER_LENGTH;
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + content_length);
        let mut put = |value: u32| bytes.extend(value.to_le_bytes());
        put(SKIPPABLE_MAGIC);
        // At most 2^27 frames of 8 bytes: `push` sees to it.
        put(u32::try_from(content_length).unwrap_or(u32::MAX));
        for frame in &self.frames {
            put(frame.compressed_length);
            put(frame.length);
        }
        put(u32::try_from(self.frames.len()).unwrap_or(u32::MAX));
        bytes.push(0);
        bytes.extend(SEEKABLE_MAGIC.to_le_bytes());
        bytes
    }

    /// Reads a table from exactly its skippable frame; checksums are left out.
    ///
    /// Allocates no more than the length of `bytes` warrants.
    ///
    /// # Errors
    /// If the bytes are anything else, or a frame in them is empty or too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, SeekableError> {
        let (entries, entry_length) = entries(bytes)?;
        let mut table = Self::default();
        for entry in entries.chunks_exact(entry_length) {
            let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| entry[at + i]));
            table.push(number(0), number(4))?;
        }
        Ok(table)
    }
}

/// The table's entries and how long each is, after header and footer were checked.
fn entries(bytes: &[u8]) -> Result<(&[u8], usize), SeekableError> {
    let bad = |problem| Err(SeekableError::NoSeekTable(problem));
    if bytes.len() < HEADER_LENGTH + FOOTER_LENGTH {
        return bad("it is cut short");
    }
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    let footer = bytes.len() - FOOTER_LENGTH;
    if number(0) != SKIPPABLE_MAGIC || number(footer + 5) != SEEKABLE_MAGIC {
        return bad("it does not begin and end as one");
    }
    if number(4) as usize != bytes.len() - HEADER_LENGTH {
        return bad("it is not as long as it says");
    }
    let descriptor = bytes[footer + 4];
    if descriptor & RESERVED_BITS != 0 {
        return bad("a reserved bit of its descriptor is set");
    }
    let entry_length = if descriptor & CHECKSUM_FLAG == 0 {
        8
    } else {
        12
    };
    let frames = number(footer) as usize;
    let entries = &bytes[HEADER_LENGTH..footer];
    if frames > FRAMES_MAX {
        return Err(SeekableError::TooManyFrames(frames));
    }
    if entries.len() != frames * entry_length {
        return bad("its number of frames does not fit its length");
    }
    Ok((entries, entry_length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SeekTable {
        let mut table = SeekTable::default();
        for (compressed, length) in [(10, 100), (20, 100), (5, 50)] {
            table.push(compressed, length).unwrap();
        }
        table
    }

    #[test]
    fn a_table_survives_its_bytes() {
        let bytes = table().to_bytes();
        assert_eq!(bytes.len(), SeekTable::encoded_length(3));
        assert_eq!(SeekTable::parse(&bytes).unwrap(), table());
    }

    #[test]
    fn frames_are_found_by_the_bytes_they_hold() {
        let table = table();
        assert_eq!((table.length(), table.compressed_length()), (250, 35));
        assert_eq!(table.frames_of(0..1), 0..1);
        assert_eq!(table.frames_of(99..101), 0..2);
        assert_eq!(table.frames_of(100..200), 1..2);
        assert_eq!(table.frames_of(249..999), 2..3);
        assert_eq!(table.frames_of(250..251), 3..3);
        assert_eq!(table.frames_of(150..150), 1..2);
    }

    #[test]
    fn checksums_are_skipped() {
        let mut bytes = table().to_bytes();
        for end in [8 + 24, 8 + 16, 8 + 8] {
            bytes.splice(end..end, [1, 2, 3, 4]);
        }
        let length = u32::try_from(bytes.len() - 8).unwrap();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let descriptor = bytes.len() - 5;
        bytes[descriptor] = CHECKSUM_FLAG;
        assert_eq!(SeekTable::parse(&bytes).unwrap(), table());
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = table().to_bytes();
        for length in 0..good.len() {
            assert!(SeekTable::parse(&good[..length]).is_err(), "{length}");
        }
        for (at, value) in [
            (0, 0),
            (4, 0),
            (12, 0),
            (good.len() - 5, 4),
            (good.len() - 1, 0),
        ] {
            let mut bytes = good.clone();
            bytes[at..(at + 4).min(good.len())].fill(value);
            assert!(SeekTable::parse(&bytes).is_err(), "byte {at}");
        }
        let mut table = SeekTable::default();
        assert!(table.push(1, 0).is_err());
        assert!(table.push(1, FRAME_LENGTH_MAX + 1).is_err());
    }
}

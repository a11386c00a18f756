//! The bytes of a segment: its preamble and its records. Pure.
//!
//! All numbers are little-endian. A segment begins with the preamble, written and synced before the
//! file gets its name; records begin at [`FIRST_RECORD`], each padded with zeros to 8 bytes; zeros
//! follow the last one.
//!
//! | preamble | | record | |
//! |---|---|---|---|
//! | 0..8 | `RAFTLOG\n` | 0..2 | magic |
//! | 8..12 | version | 2 | kind |
//! | 12..16 | number of the segment | 3 | 0 |
//! | 16..24 | length of the file | 4..8 | length of the payload |
//! | 24..28 | salt | 8..16 | index |
//! | 28..32 | CRC32C of 0..28 | 16..20 | checksum of the record before, across segments |
//! | | | 20..24 | offset at which the write began that brought this record |
//! | | | 24..28 | CRC32C of 0..24 and the payload, begun with the salt |
//! | | | 28.. | payload |
//!
//! The offset of the write tells a torn write from damage: the next write begins only when the one
//! before is durable. The salt keeps clients from forging records inside their values.

use crate::error::Expected;

/// Version of the format.
pub(crate) const VERSION: u32 = 1;
/// Where records begin, in bytes; the block before holds only the preamble.
pub(crate) const FIRST_RECORD: usize = 4096;
/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 28;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;

const PREAMBLE_BYTES: usize = 32;
const PREAMBLE_MAGIC: &[u8; 8] = b"RAFTLOG\n";
const RECORD_MAGIC: u16 = 0xA55E;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// Segments are numbered from 1.
    pub number: u32,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Begins every record's checksum.
    pub salt: u32,
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// First in every segment: all that is needed to do without the segments before.
    State = 1,
    /// An entry of the log; the index is its own.
    Entry = 2,
    /// A vote.
    Vote = 3,
    /// A note on what is committed.
    Committed = 4,
    /// Entries are removed from the index on.
    Truncate = 5,
    /// Entries are removed up to and including the index; the payload is the note on it.
    Purge = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::State,
            2 => Self::Entry,
            3 => Self::Vote,
            4 => Self::Committed,
            5 => Self::Truncate,
            6 => Self::Purge,
            _ => return None,
        })
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) length: u32,
    pub(crate) index: u64,
    pub(crate) previous: u32,
    pub(crate) write_began: u32,
    pub(crate) checksum: u32,
}

/// Why a preamble is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PreambleError {
    Damaged(Expected),
    Version(u32),
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

impl Preamble {
    pub(crate) fn encode(&self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(PREAMBLE_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, PreambleError> {
        let damaged = PreambleError::Damaged(Expected::Preamble);
        let bytes = bytes.get(..PREAMBLE_BYTES).ok_or(damaged.clone())?;
        if &bytes[..8] != PREAMBLE_MAGIC || crc32c::crc32c(&bytes[..28]) != u32_at(bytes, 28) {
            return Err(damaged);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(PreambleError::Version(u32_at(bytes, 8)));
        }
        Ok(Self {
            number: u32_at(bytes, 12),
            bytes: u64_at(bytes, 16),
            salt: u32_at(bytes, 24),
        })
    }
}

impl Header {
    /// The header at the beginning of `bytes`, if it looks like one and its payload fits in there.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER_BYTES)?;
        if header[..2] != RECORD_MAGIC.to_le_bytes() || header[3] != 0 {
            return None;
        }
        let length = u32_at(header, 4);
        if length as usize > bytes.len() - RECORD_HEADER_BYTES {
            return None;
        }
        Some(Self {
            kind: Kind::of(header[2])?,
            length,
            index: u64_at(header, 8),
            previous: u32_at(header, 16),
            write_began: u32_at(header, 20),
            checksum: u32_at(header, 24),
        })
    }

    /// Whether the record that begins `bytes`, with this header, is what was written.
    pub(crate) fn matches(&self, bytes: &[u8], salt: u32) -> bool {
        let end = RECORD_HEADER_BYTES + self.length as usize;
        let head = crc32c::crc32c_append(salt, &bytes[..24]);
        crc32c::crc32c_append(head, &bytes[RECORD_HEADER_BYTES..end]) == self.checksum
    }
}

/// The bytes that a record takes, with padding.
pub(crate) const fn record_bytes(payload_bytes: usize) -> usize {
    (RECORD_HEADER_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

/// Where a record goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) salt: u32,
    /// Checksum of the record before.
    pub(crate) previous: u32,
    /// Offset at which the write begins.
    pub(crate) write_began: u32,
}

/// Appends a record to `buffer`; its checksum.
pub(crate) fn put_record(
    buffer: &mut Vec<u8>,
    place: Place,
    kind: Kind,
    index: u64,
    payload: &[u8],
) -> u32 {
    let length = u32::try_from(payload.len()).expect("payloads are bounded by the options");
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..2].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
    header[2] = kind as u8;
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&index.to_le_bytes());
    header[16..20].copy_from_slice(&place.previous.to_le_bytes());
    header[20..24].copy_from_slice(&place.write_began.to_le_bytes());
    let head = crc32c::crc32c_append(place.salt, &header[..24]);
    let checksum = crc32c::crc32c_append(head, payload);
    header[24..].copy_from_slice(&checksum.to_le_bytes());
    let end = buffer.len() + record_bytes(payload.len());
    buffer.extend_from_slice(&header);
    buffer.extend_from_slice(payload);
    buffer.resize(end, 0);
    checksum
}

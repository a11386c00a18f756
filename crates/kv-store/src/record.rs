//! One event in the history's files and in snapshots: a checksummed record.
//!
//! Layout, numbers little-endian: length of the payload (4 bytes), CRC-32C of what follows (4),
//! revision (8), payload (the event in postcard's encoding).
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kv_model::{Event, Revision};

use crate::disk::DiskFile;

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 16;
/// An event larger than this was never written.
const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Appends an event's record to a buffer.
pub(crate) fn encode(event: &Event, out: &mut Vec<u8>) -> io::Result<()> {
    let begin = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out[begin + 8..].copy_from_slice(&event.revision.0.to_le_bytes());
    let mut buffer = postcard::to_extend(event, std::mem::take(out)).map_err(io::Error::other)?;
    let length = buffer.len() - begin - HEADER_BYTES;
    let length = u32::try_from(length).map_err(io::Error::other)?;
    let checksum = crc32c::crc32c(&buffer[begin + 8..]);
    buffer[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    buffer[begin + 4..begin + 8].copy_from_slice(&checksum.to_le_bytes());
    *out = buffer;
    Ok(())
}

/// A record's revision, and its event still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) revision: Revision,
    /// Header and payload.
    pub(crate) bytes: &'a [u8],
}

impl Record<'_> {
    pub(crate) fn event(&self) -> Result<Event, String> {
        let event = postcard::from_bytes(&self.bytes[HEADER_BYTES..]);
        event.map_err(|error| error.to_string())
    }
}

/// How long the record at the beginning of some bytes is, if its header is among them.
fn record_bytes(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(length) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err(format!("a record of {length} bytes"));
    }
    Ok(Some(HEADER_BYTES + length))
}

/// Takes the first record off some bytes; `None` if it is not there as a whole.
pub(crate) fn split_first(bytes: &[u8]) -> Result<Option<(Record<'_>, &[u8])>, String> {
    let Some((bytes, rest)) =
        record_bytes(bytes)?.and_then(|length| bytes.split_at_checked(length))
    else {
        return Ok(None);
    };
    let number = |range: std::ops::Range<usize>| {
        let mut number = [0; 8];
        number[..range.len()].copy_from_slice(&bytes[range]);
        u64::from_le_bytes(number)
    };
    if number(4..8) != u64::from(crc32c::crc32c(&bytes[8..])) {
        return Err("a record's checksum is wrong".to_owned());
    }
    let revision = Revision(number(8..16));
    Ok(Some((Record { revision, bytes }, rest)))
}

/// A stretch of one file that consists of whole records.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    /// Where the segment's records begin, counted over all records there ever were.
    pub(crate) segment: u64,
    /// In the file.
    pub(crate) position: u64,
    /// In the file.
    pub(crate) end: u64,
}

/// Records that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("cannot read {} at byte {position}", .path.display())]
    Io {
        path: PathBuf,
        position: u64,
        #[source]
        source: io::Error,
    },
    #[error("{} is damaged at byte {position}: {reason}", .path.display())]
    Damaged {
        path: PathBuf,
        position: u64,
        reason: String,
    },
}

const CHUNK_BYTES: usize = 128 * 1024;

/// Reads the records of some parts, in chunks.
pub(crate) struct Records {
    /// Last first.
    parts: Vec<Part>,
    buffer: Vec<u8>,
    /// So much of the buffer was given out.
    consumed: usize,
}

impl Records {
    pub(crate) fn new(mut parts: Vec<Part>) -> Self {
        parts.reverse();
        Self {
            parts,
            buffer: Vec::new(),
            consumed: 0,
        }
    }

    /// Where the next record stands: the segment, and the position in its file.
    pub(crate) fn position(&self) -> Option<(u64, u64)> {
        let part = self.parts.last()?;
        Some((part.segment, part.position))
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        while self
            .parts
            .last()
            .is_some_and(|part| part.position >= part.end)
        {
            self.parts.pop();
            self.buffer.clear();
            self.consumed = 0;
        }
        let Some(part) = self.parts.last_mut() else {
            return Ok(None);
        };
        let length = loop {
            let damaged = |reason| RecordError::Damaged {
                path: part.path.clone(),
                position: part.position,
                reason,
            };
            let rest = &self.buffer[self.consumed..];
            if let Some((record, _)) = split_first(rest).map_err(damaged)? {
                break record.bytes.len();
            }
            let wanted = record_bytes(rest).map_err(damaged)?;
            let wanted = wanted.unwrap_or(HEADER_BYTES).max(CHUNK_BYTES);
            self.buffer.drain(..std::mem::take(&mut self.consumed));
            fill(part, &mut self.buffer, wanted)?;
        };
        part.position += length as u64;
        let bytes = &self.buffer[self.consumed..self.consumed + length];
        self.consumed += length;
        let mut revision = [0; 8];
        revision.copy_from_slice(&bytes[8..HEADER_BYTES]);
        let revision = Revision(u64::from_le_bytes(revision));
        Ok(Some(Record { revision, bytes }))
    }
}

/// Reads on, up to `wanted` bytes in the buffer, which begins at the part's position.
fn fill(part: &Part, buffer: &mut Vec<u8>, wanted: usize) -> Result<(), RecordError> {
    let begin = buffer.len();
    let position = part.position + begin as u64;
    let left = usize::try_from(part.end.saturating_sub(position)).unwrap_or(usize::MAX);
    let more = left.min(wanted.saturating_sub(begin));
    if more == 0 {
        return Err(RecordError::Damaged {
            path: part.path.clone(),
            position: part.position,
            reason: "a record goes on after the end".to_owned(),
        });
    }
    buffer.resize(begin + more, 0);
    let read = part.file.read_at(position, &mut buffer[begin..]);
    read.map_err(|source| RecordError::Io {
        path: part.path.clone(),
        position,
        source,
    })
}

//! Reading a segment from its bytes: which records it has, and how it ends. Pure, and never panics.
//!
//! It does not judge whether records make sense one after another (see `recovery`).

use std::ops::Range;

use crate::error::Expected;
use crate::format::{
    ALIGNMENT, FIRST_RECORD, Header, Kind, Preamble, PreambleError, RECORD_HEADER_BYTES,
    record_bytes,
};

/// A segment's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// What it says of itself.
    pub preamble: Preamble,
    /// Its records, each following the one before.
    pub records: Vec<Record>,
    /// What is behind them.
    pub end: End,
}

/// A record that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Its index; 0 for kinds that have none.
    pub index: u64,
    /// Offset of its header, in bytes.
    pub offset: u32,
    /// Length of its payload, in bytes.
    pub length: u32,
    /// Checksum of the record before, which may be in another segment.
    pub previous: u32,
    /// Offset at which the write began that brought it.
    pub write_began: u32,
    /// Its checksum.
    pub checksum: u32,
}

impl Record {
    /// Where its payload is in the segment.
    pub fn payload(&self) -> Range<usize> {
        let begin = self.offset as usize + RECORD_HEADER_BYTES;
        begin..begin + self.length as usize
    }

    /// Where the next record begins.
    pub fn end(&self) -> u32 {
        let bytes = record_bytes(self.length as usize);
        small(self.offset as usize + bytes)
    }
}

/// What is behind the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing but zeros from this offset on.
    Clean {
        /// In bytes.
        offset: u32,
    },
    /// A write that was cut off: it was never reported as durable.
    Torn {
        /// Where its first missing record begins.
        offset: u32,
        /// Behind its last byte that is not zero.
        until: u32,
    },
    /// A record that was durable is broken: a later write stands behind it.
    Damaged {
        /// Where the broken record begins.
        offset: u32,
        /// Where a record of a later write begins.
        later: u32,
    },
}

impl End {
    /// Where the records end.
    pub fn offset(self) -> u32 {
        match self {
            Self::Clean { offset } | Self::Torn { offset, .. } | Self::Damaged { offset, .. } => {
                offset
            }
        }
    }
}

/// Why bytes are no segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The preamble, or the length, is not right.
    #[error("expected {expected} at byte 0")]
    Damaged {
        /// What should be there.
        expected: Expected,
    },
    /// Another version of the format.
    #[error("format version {version} is not known")]
    Version {
        /// Which.
        version: u32,
    },
}

/// Scans a whole segment.
pub fn scan(bytes: &[u8]) -> Result<Scan, ScanError> {
    let preamble = Preamble::decode(bytes).map_err(|error| match error {
        PreambleError::Damaged(expected) => ScanError::Damaged { expected },
        PreambleError::Version(version) => ScanError::Version { version },
    })?;
    let length_is_right = preamble.bytes == bytes.len() as u64
        && bytes.len() >= FIRST_RECORD
        && u32::try_from(bytes.len()).is_ok();
    if !length_is_right {
        let expected = Expected::Length {
            bytes: preamble.bytes,
        };
        return Err(ScanError::Damaged { expected });
    }
    let mut records = Vec::new();
    let mut offset = FIRST_RECORD;
    while let Some(record) = record_at(bytes, offset, preamble.salt, records.last()) {
        offset = record.end() as usize;
        records.push(record);
    }
    // Padding of a record that ends with the file may reach behind it.
    let offset = offset.min(bytes.len());
    Ok(Scan {
        preamble,
        records,
        end: end(bytes, offset, preamble.salt),
    })
}

/// The record at `offset`, if it is intact and follows the one before.
fn record_at(bytes: &[u8], offset: usize, salt: u32, before: Option<&Record>) -> Option<Record> {
    let rest = bytes.get(offset..)?;
    let header = Header::decode(rest)?;
    let begin = small(offset);
    let follows = match before {
        // The first one: its chain is checked against the segment before.
        None => header.kind == Kind::State && header.write_began == begin,
        Some(before) => {
            header.kind != Kind::State
                && header.previous == before.checksum
                && (header.write_began == begin || header.write_began == before.write_began)
        }
    };
    (follows && header.matches(rest, salt)).then_some(Record {
        kind: header.kind,
        index: header.index,
        offset: begin,
        length: header.length,
        previous: header.previous,
        write_began: header.write_began,
        checksum: header.checksum,
    })
}

/// Offsets were checked to fit when the scan began.
fn small(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn end(bytes: &[u8], offset: usize, salt: u32) -> End {
    let rest = &bytes[offset..];
    let Some(last) = rest.iter().rposition(|byte| *byte != 0) else {
        return End::Clean {
            offset: small(offset),
        };
    };
    let until = offset + last + 1;
    let later = (offset..until)
        .step_by(ALIGNMENT)
        .find(|at| is_of_later_write(bytes, *at, offset, salt));
    match later {
        Some(later) => End::Damaged {
            offset: small(offset),
            later: small(later),
        },
        None => End::Torn {
            offset: small(offset),
            until: small(until),
        },
    }
}

/// Whether an intact record stands at `at` that was written when everything up to and including
/// `broken` was durable.
fn is_of_later_write(bytes: &[u8], at: usize, broken: usize, salt: u32) -> bool {
    let Some(header) = Header::decode(&bytes[at..]) else {
        return false;
    };
    let began = header.write_began as usize;
    began > broken && began <= at && header.matches(&bytes[at..], salt)
}

#[cfg(test)]
mod tests;

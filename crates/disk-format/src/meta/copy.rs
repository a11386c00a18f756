//! One copy of the record: its frame of magic number, generation and checksum.
//!
//! Does not choose between copies.

use std::io::{self, Read, Seek, SeekFrom};

use super::{BootRecord, CopyProblem, Generation};

pub(super) const LENGTH: usize = 4096;
const MAGIC: &[u8; 8] = b"KEELMETA";
const FORMAT_VERSION: u32 = 1;
const PAYLOAD_OFFSET: usize = 24;
const CHECKSUM_OFFSET: usize = LENGTH - 4;

pub(super) fn encode(record: &BootRecord, generation: Generation) -> [u8; LENGTH] {
    let payload = record.to_payload();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&length.to_le_bytes());
    bytes[16..24].copy_from_slice(&generation.0.to_le_bytes());
    bytes[PAYLOAD_OFFSET..PAYLOAD_OFFSET + payload.len()].copy_from_slice(&payload);
    let checksum = crc32fast::hash(&bytes[..CHECKSUM_OFFSET]);
    bytes[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn read<D: Read + Seek>(
    disk: &mut D,
    offset_bytes: u64,
) -> Result<(BootRecord, Generation), CopyProblem> {
    let bytes = read_bytes(disk, offset_bytes).map_err(CopyProblem::Unreadable)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok((BootRecord::default(), Generation(0)));
    }
    decode(&bytes)
}

fn read_bytes<D: Read + Seek>(disk: &mut D, offset_bytes: u64) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    disk.seek(SeekFrom::Start(offset_bytes))?;
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn decode(bytes: &[u8; LENGTH]) -> Result<(BootRecord, Generation), CopyProblem> {
    if !bytes.starts_with(MAGIC) {
        return Err(CopyProblem::Magic);
    }
    if u32_at(bytes, CHECKSUM_OFFSET) != crc32fast::hash(&bytes[..CHECKSUM_OFFSET]) {
        return Err(CopyProblem::Checksum);
    }
    let version = u32_at(bytes, 8);
    if version != FORMAT_VERSION {
        return Err(CopyProblem::Version(version));
    }
    let payload = &bytes[PAYLOAD_OFFSET..CHECKSUM_OFFSET];
    let payload = payload
        .get(..u32_at(bytes, 12) as usize)
        .ok_or(CopyProblem::Payload)?;
    let generation = std::array::from_fn(|index| bytes[16 + index]);
    Ok((
        BootRecord::from_payload(payload)?,
        Generation(u64::from_le_bytes(generation)),
    ))
}

fn u32_at(bytes: &[u8; LENGTH], offset: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[offset + index]))
}

//! Writing a root block by block: only what has the digest of a block that is still missing is written.
//!
//! What an interrupted update left is found by hashing the slot, so nothing needs to be remembered. Does
//! not know where blocks come from.

use std::collections::HashMap;
use std::io::{self, Read, SeekFrom};

use disk_format::disk::Disk;
use disk_format::verity::{BLOCK_LENGTH_BYTES, Digest};

use crate::digests::digests;
use crate::error::{ClientError, Result};

const BLOCK: usize = 4096;
/// Read at once.
const CHUNK_LENGTH: usize = 256 * 4096;

/// A slot on its way to a new root.
#[derive(Debug)]
pub struct SlotWriter<'a, D> {
    disk: D,
    salt: &'a [u8],
    leaves: &'a [Digest],
    /// What the slot held when it was looked at.
    found: Vec<Digest>,
    /// Where each block that is missing goes.
    missing: HashMap<Digest, Vec<u64>>,
    missing_count: u64,
    /// Where the disk's position is, in blocks.
    position: Option<u64>,
}

impl<'a, D: Disk> SlotWriter<'a, D> {
    /// Looks at what the slot holds. What lies behind the new root's end is left alone.
    pub fn new(mut disk: D, leaves: &'a [Digest], salt: &'a [u8]) -> Result<Self> {
        let found = scan(&mut disk, leaves.len(), salt).map_err(|e| slot("read the slot", e))?;
        let mut missing: HashMap<Digest, Vec<u64>> = HashMap::new();
        let mut missing_count = 0;
        for (index, digest) in leaves.iter().enumerate() {
            if found.get(index) != Some(digest) {
                missing.entry(*digest).or_default().push(index as u64);
                missing_count += 1;
            }
        }
        Ok(Self {
            disk,
            salt,
            leaves,
            found,
            missing,
            missing_count,
            position: None,
        })
    }

    /// What the slot held when it was looked at, block by block.
    pub fn found(&self) -> &[Digest] {
        &self.found
    }

    /// How many blocks are not in place yet.
    pub fn missing_count(&self) -> u64 {
        self.missing_count
    }

    /// Whether a block of this digest is missing.
    pub fn needs(&self, digest: &Digest) -> bool {
        self.missing.contains_key(digest)
    }

    /// Whether this block of the root is in place.
    pub fn has(&self, block: u64) -> bool {
        let digest = usize::try_from(block)
            .ok()
            .and_then(|block| self.leaves.get(block));
        digest.is_none_or(|digest| !self.needs(digest))
    }

    /// Takes blocks in, whatever they are: those that are missing are written wherever they belong, the
    /// rest is ignored. Says how many it wrote.
    pub fn offer(&mut self, blocks: &[u8]) -> Result<u64> {
        let before = self.missing_count;
        let mut run = Run::default();
        for (index, digest) in digests(self.salt, blocks).iter().enumerate() {
            for place in self.missing.remove(digest).unwrap_or_default() {
                if !run.extend(index, place) {
                    self.write(run, blocks)?;
                    run = Run::new(index, place);
                }
            }
        }
        self.write(run, blocks)?;
        Ok(before - self.missing_count)
    }

    /// Reads blocks that the slot holds, for moving them.
    pub(crate) fn read(&mut self, first: u64, count: u64) -> Result<Vec<u8>> {
        self.position = None;
        read_blocks(&mut self.disk, first, count).map_err(|e| slot("read the slot", e))
    }

    /// Returns once everything written is durable.
    pub fn sync(&mut self) -> Result<()> {
        self.disk.sync().map_err(|e| slot("write the slot", e))
    }

    fn write(&mut self, run: Run, blocks: &[u8]) -> Result<()> {
        if run.count == 0 {
            return Ok(());
        }
        let begin = run.index * BLOCK;
        let bytes = &blocks[begin..begin + run.count * BLOCK];
        self.write_at(run.place, bytes)
            .map_err(|e| slot("write the slot", e))?;
        self.missing_count -= run.count as u64;
        Ok(())
    }

    fn write_at(&mut self, place: u64, bytes: &[u8]) -> io::Result<()> {
        if self.position != Some(place) {
            self.disk
                .seek(SeekFrom::Start(place * BLOCK_LENGTH_BYTES))?;
        }
        self.position = None;
        self.disk.write_all(bytes)?;
        self.position = Some(place + (bytes.len() / BLOCK) as u64);
        Ok(())
    }
}

/// Neighbours among blocks that were offered which are neighbours in the slot, too.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// The first one's number among those offered.
    index: usize,
    /// Where it goes.
    place: u64,
    /// How many.
    count: usize,
}

impl Run {
    fn new(index: usize, place: u64) -> Self {
        Self {
            index,
            place,
            count: 1,
        }
    }

    /// Takes one more, if it is the next one.
    fn extend(&mut self, index: usize, place: u64) -> bool {
        let is_next = index == self.index + self.count && place == self.place + self.count as u64;
        self.count += usize::from(is_next && self.count > 0);
        is_next && self.count > 0
    }
}

fn slot(action: &'static str, source: io::Error) -> ClientError {
    ClientError::Slot { action, source }
}

/// Reads whole blocks.
pub(crate) fn read_blocks<D: io::Read + io::Seek>(
    disk: &mut D,
    first: u64,
    count: u64,
) -> io::Result<Vec<u8>> {
    disk.seek(SeekFrom::Start(first * BLOCK_LENGTH_BYTES))?;
    let length = count * BLOCK_LENGTH_BYTES;
    let mut blocks = Vec::new();
    disk.take(length).read_to_end(&mut blocks)?;
    if blocks.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(blocks)
}

/// The digests of the first blocks; fewer if the slot is shorter.
fn scan<D: Disk>(disk: &mut D, blocks: usize, salt: &[u8]) -> io::Result<Vec<Digest>> {
    disk.seek(SeekFrom::Start(0))?;
    let mut found = Vec::new();
    let mut buffer = Vec::new();
    while found.len() < blocks {
        let left = (blocks - found.len()) * BLOCK;
        buffer.clear();
        let limit = left.min(CHUNK_LENGTH) as u64;
        let count = (&mut *disk).take(limit).read_to_end(&mut buffer)?;
        found.extend(digests(salt, &buffer));
        if (count as u64) < limit {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk_format::verity::hash_blocks;
    use std::io::Cursor;

    fn blocks(names: &[u8]) -> Vec<u8> {
        names.iter().flat_map(|name| [*name; BLOCK]).collect()
    }

    #[test]
    fn blocks_land_wherever_they_belong() {
        let root = blocks(b"aabcdeza");
        let leaves: Vec<Digest> = hash_blocks(b"salt", &root).collect();
        let slot = Cursor::new(blocks(b"\0\0xc\0"));
        let mut writer = SlotWriter::new(slot, &leaves, b"salt").unwrap();
        assert_eq!(writer.missing_count(), 7);
        assert_eq!(writer.offer(&blocks(b"qbcea")).unwrap(), 5);
        assert!(!writer.has(4) && writer.has(7));
        assert_eq!(writer.offer(&blocks(b"ddz")).unwrap(), 2);
        assert_eq!(writer.missing_count(), 0);
        assert_eq!(writer.disk.into_inner(), root);
    }
}

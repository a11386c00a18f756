//! What QEMU recorded of a guest's writes to a disk: each write, in order, and where the guest waited for
//! them to be durable.
//!
//! The format is that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst),
//! which QEMU's driver `blklogwrites` writes: a superblock in the first sector, then for each request a
//! sector that says what it was, followed by the data. Numbers are little-endian. This only reads: what is
//! done with the writes is the caller's.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::QemuError;

/// `WRITE_LOG_MAGIC` of the kernel.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// Sizes of a sector that QEMU takes.
const SECTOR_BYTES_MAX: u32 = 1 << 23;
/// The longest write that is believed in; a guest's are far shorter.
const DATA_BYTES_MAX: u64 = 1 << 30;
/// Numbers at the start of a sector are at most that long.
const HEAD_BYTES: usize = 32;

const FLUSH: u64 = 1;
const FORCE_UNIT_ACCESS: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;

/// A recorded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// These bytes were written at this offset.
    Write {
        /// In bytes.
        offset: u64,
        /// What.
        data: Vec<u8>,
        /// Whether it was durable when it was done, and all before it.
        is_durable: bool,
    },
    /// This range may hold anything from now on.
    Discard {
        /// In bytes.
        offset: u64,
        /// In bytes.
        length: u64,
    },
    /// All before it is durable.
    Flush,
}

/// An open log; its requests are read by iterating.
#[derive(Debug)]
pub struct WriteLog<R> {
    log: R,
    sector_bytes: u64,
    left: u64,
}

impl WriteLog<BufReader<File>> {
    /// Opens the log of a machine that has ended.
    ///
    /// # Errors
    /// If it cannot be read or is of another format.
    pub fn open(path: &Path) -> Result<Self, QemuError> {
        let file = File::open(path).map_err(QemuError::file("open", path))?;
        Self::read(BufReader::new(file)).map_err(QemuError::file("read", path))
    }
}

impl<R: Read + Seek> WriteLog<R> {
    /// Reads a log's superblock.
    pub fn read(mut log: R) -> io::Result<Self> {
        log.seek(SeekFrom::Start(0))?;
        let [magic, version, entries, sector_bytes] = head(&mut log)?;
        // The last number has four bytes only.
        let sector_bytes = u32::try_from(sector_bytes & u64::from(u32::MAX)).unwrap_or_default();
        if magic != MAGIC || version != VERSION {
            return Err(invalid("it is no log of writes, or of another version"));
        }
        if !sector_bytes.is_power_of_two() || !(512..=SECTOR_BYTES_MAX).contains(&sector_bytes) {
            return Err(invalid(&format!("a sector of {sector_bytes} bytes")));
        }
        log.seek(SeekFrom::Start(u64::from(sector_bytes)))?;
        Ok(Self {
            log,
            sector_bytes: u64::from(sector_bytes),
            left: entries,
        })
    }

    /// The requests of one entry: what it wrote comes after a flush that it asks for.
    fn entry(&mut self) -> io::Result<Vec<Request>> {
        let [sector, sectors, flags, mark_bytes] = head(&mut self.log)?;
        self.skip(self.sector_bytes - HEAD_BYTES as u64)?;
        let unknown = flags & !(FLUSH | FORCE_UNIT_ACCESS | DISCARD | MARK);
        if unknown != 0 {
            return Err(invalid(&format!("an entry of kind {unknown:#x}")));
        }
        let too_far = || invalid("a request beyond the end of every disk");
        let offset = sector.checked_mul(self.sector_bytes).ok_or_else(too_far)?;
        let length = sectors.checked_mul(self.sector_bytes).ok_or_else(too_far)?;
        if flags & MARK != 0 {
            self.skip(
                mark_bytes
                    .div_ceil(self.sector_bytes)
                    .saturating_mul(self.sector_bytes),
            )?;
            return Ok(Vec::new());
        }
        let mut requests = Vec::new();
        if flags & FLUSH != 0 {
            requests.push(Request::Flush);
        }
        if flags & DISCARD != 0 {
            requests.push(Request::Discard { offset, length });
        } else if length > 0 {
            requests.push(Request::Write {
                offset,
                data: self.data(length)?,
                is_durable: flags & FORCE_UNIT_ACCESS != 0,
            });
        }
        Ok(requests)
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = i64::try_from(bytes).map_err(|_| invalid("an entry that never ends"))?;
        self.log.seek_relative(bytes)
    }

    fn data(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > DATA_BYTES_MAX {
            return Err(invalid(&format!("a write of {length} bytes")));
        }
        let mut data = Vec::new();
        (&mut self.log).take(length).read_to_end(&mut data)?;
        if data.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(data)
    }
}

impl<R: Read + Seek> Iterator for WriteLog<R> {
    type Item = io::Result<Vec<Request>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}

fn head(log: &mut impl Read) -> io::Result<[u64; 4]> {
    let mut bytes = [0; HEAD_BYTES];
    log.read_exact(&mut bytes)?;
    let mut numbers = [0; 4];
    for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    Ok(numbers)
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.to_owned())
}

#[cfg(test)]
mod tests;

//! A device that a file system borrows and gives back, with the block last read kept in memory.
//!
//! `fatfs` takes its device by value, keeps it, and reads its tables four bytes at a time. Writes
//! go straight through: nothing is held back, so there is nothing to lose.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

const BLOCK_LENGTH: usize = 4096;

/// One of the handles on a device: the file system's, and the one it is taken back by.
#[derive(Debug)]
pub(super) struct SharedDevice<D>(Rc<RefCell<CachedDevice<D>>>);

#[derive(Debug)]
struct CachedDevice<D> {
    inner: D,
    position: u64,
    cached: Option<Block>,
}

/// Bytes of the device from a multiple of the block's length on; shorter at the device's end.
#[derive(Debug)]
struct Block {
    offset: u64,
    contents: Vec<u8>,
}

impl<D> SharedDevice<D> {
    pub(super) fn new(inner: D) -> Self {
        Self(Rc::new(RefCell::new(CachedDevice {
            inner,
            position: 0,
            cached: None,
        })))
    }

    /// The device; every other handle must be gone.
    pub(super) fn into_inner(self) -> D {
        let cell = Rc::into_inner(self.0).expect("the file system was dropped before");
        cell.into_inner().inner
    }
}

impl<D> Clone for SharedDevice<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: Read + Seek> CachedDevice<D> {
    /// The block that the position is in.
    fn block(&mut self) -> io::Result<&Block> {
        let offset = self.position - self.position % BLOCK_LENGTH as u64;
        let block = match self.cached.take() {
            Some(block) if block.offset == offset => block,
            _ => {
                let mut contents = Vec::with_capacity(BLOCK_LENGTH);
                self.inner.seek(SeekFrom::Start(offset))?;
                (&mut self.inner)
                    .take(BLOCK_LENGTH as u64)
                    .read_to_end(&mut contents)?;
                Block { offset, contents }
            }
        };
        Ok(self.cached.insert(block))
    }
}

impl Block {
    /// Takes over what was written to the device at this position.
    fn update(&mut self, position: u64, written: &[u8]) {
        for (index, byte) in written.iter().enumerate() {
            let within = (position + index as u64).checked_sub(self.offset);
            let within = within.and_then(|within| usize::try_from(within).ok());
            if let Some(cached) = within.and_then(|within| self.contents.get_mut(within)) {
                *cached = *byte;
            }
        }
    }

    fn overlaps(&self, position: u64, length: usize) -> bool {
        position < self.offset + BLOCK_LENGTH as u64 && self.offset < position + length as u64
    }
}

impl<D: Read + Seek> Read for SharedDevice<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut device = self.0.borrow_mut();
        let position = device.position;
        let block = device.block()?;
        let within = usize::try_from(position - block.offset).map_err(io::Error::other)?;
        let read = block
            .contents
            .get(within..)
            .unwrap_or_default()
            .read(buffer)?;
        device.position += read as u64;
        Ok(read)
    }
}

impl<D: Write + Seek> Write for SharedDevice<D> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let CachedDevice {
            inner,
            position,
            cached,
        } = &mut *self.0.borrow_mut();
        inner.seek(SeekFrom::Start(*position))?;
        let written = inner.write(buffer)?;
        if let Some(block) = cached
            .as_mut()
            .filter(|block| block.overlaps(*position, written))
        {
            // At the device's end the block may be short, and the device grow.
            if block.contents.len() == BLOCK_LENGTH {
                block.update(*position, &buffer[..written]);
            } else {
                *cached = None;
            }
        }
        *position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().inner.flush()
    }
}

impl<D: Seek> Seek for SharedDevice<D> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let mut device = self.0.borrow_mut();
        let position = match target {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => device.position.checked_add_signed(offset),
            SeekFrom::End(_) => Some(device.inner.seek(target)?),
        };
        device.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(device.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::test_tools::Noise;

    /// Against plain memory: random reads and writes must see the same bytes.
    #[test]
    fn the_cache_never_shows() {
        let mut noise = Noise(11);
        let contents = noise.bytes(5 * BLOCK_LENGTH + 100);
        let mut plain = Cursor::new(contents.clone());
        let mut cached = SharedDevice::new(Cursor::new(contents));
        for _ in 0..5000 {
            let offset = SeekFrom::Start(noise.next() % (5 * BLOCK_LENGTH as u64 + 50));
            let length = usize::try_from(noise.next() % 9000).unwrap() >> (noise.next() % 12);
            plain.seek(offset).unwrap();
            cached.seek(offset).unwrap();
            if noise.next().is_multiple_of(2) {
                let written = noise.bytes(length);
                plain.write_all(&written).unwrap();
                cached.write_all(&written).unwrap();
            } else {
                let mut read = [vec![0; length], vec![0; length]];
                let whole = plain.read_exact(&mut read[0]).is_ok();
                assert_eq!(cached.read_exact(&mut read[1]).is_ok(), whole);
                assert!(!whole || read[0] == read[1]);
            }
        }
        assert!(plain.into_inner() == cached.into_inner().into_inner());
    }
}

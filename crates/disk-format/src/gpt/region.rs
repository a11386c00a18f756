//! A few sectors in memory that stand at their place on a disk.
//!
//! The crate `gpt` writes structures to where they belong on a device; one copy of the table is
//! gathered here so that it can be written, in our order, with a single write.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

/// Zeros at first; offsets count from the start of the disk.
#[derive(Debug)]
pub(crate) struct Region {
    start_bytes: u64,
    contents: Cursor<Vec<u8>>,
}

impl Region {
    pub(crate) fn new(start_bytes: u64, length: usize) -> Self {
        Self {
            start_bytes,
            contents: Cursor::new(vec![0; length]),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.contents.into_inner()
    }
}

impl Read for Region {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.contents.read(buffer)
    }
}

impl Write for Region {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.contents.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Region {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(offset) = target else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only absolute seeks",
            ));
        };
        let within = offset.checked_sub(self.start_bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a seek to before the region")
        })?;
        self.contents.seek(SeekFrom::Start(within))?;
        Ok(offset)
    }
}

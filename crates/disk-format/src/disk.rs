//! What a durable format is written to: bytes at offsets, and a barrier between writes.
//!
//! Does not open devices and does not know their length or sector size.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};

/// A disk, or a file or a part of a disk that stands for one.
pub trait Disk: Read + Write + Seek + Debug {
    /// Returns once everything written so far would survive a power cut.
    ///
    /// # Errors
    /// Whatever the device reports; the writes since the last `sync` may then be lost.
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for Cursor<Vec<u8>> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<D: Disk + ?Sized> Disk for &mut D {
    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

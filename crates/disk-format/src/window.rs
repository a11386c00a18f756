//! A part of a disk (a partition) that looks like a disk of its own.
//!
//! Does not check that the inner disk really is that long: reads past its end come up short.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::disk::Disk;

/// `length` bytes of `inner` from the byte `start` on; position 0 is `start`.
///
/// Reads end at the window's end, and so do writes: like a block device, it never grows.
#[derive(Debug)]
pub struct Window<D> {
    inner: D,
    start_bytes: u64,
    length_bytes: u64,
    position_bytes: u64,
}

impl<D> Window<D> {
    /// Looks at `length_bytes` bytes of `inner`, beginning at `start_bytes`.
    ///
    /// # Errors
    /// `InvalidInput` if the window would end behind the last offset that a `u64` can hold.
    pub fn new(inner: D, start_bytes: u64, length_bytes: u64) -> io::Result<Self> {
        if start_bytes.checked_add(length_bytes).is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a window of {length_bytes} bytes at {start_bytes} ends past 2^64"),
            ));
        }
        Ok(Self {
            inner,
            start_bytes,
            length_bytes,
            position_bytes: 0,
        })
    }

    /// The length in bytes, as given to [`Window::new`].
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Gives the inner disk back; its position is undefined.
    pub fn into_inner(self) -> D {
        self.inner
    }

    /// How many of `wanted` bytes fit between the position and the end.
    fn clamp(&self, wanted: usize) -> usize {
        let left = self.length_bytes.saturating_sub(self.position_bytes);
        usize::try_from(left).map_or(wanted, |left| wanted.min(left))
    }
}

impl<D: Seek> Window<D> {
    /// Others may have moved the inner disk (it can be a `&mut File`), so every access seeks.
    fn seek_inner(&mut self) -> io::Result<()> {
        self.inner
            .seek(SeekFrom::Start(self.start_bytes + self.position_bytes))?;
        Ok(())
    }
}

impl<D: Read + Seek> Read for Window<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.clamp(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        self.seek_inner()?;
        let read = self.inner.read(&mut buffer[..length])?;
        self.position_bytes += read as u64;
        Ok(read)
    }
}

impl<D: Write + Seek> Write for Window<D> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.clamp(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        self.seek_inner()?;
        let written = self.inner.write(&buffer[..length])?;
        self.position_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<D> Seek for Window<D> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.length_bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position_bytes.checked_add_signed(offset),
        };
        self.position_bytes = position.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a seek to before the window's start",
            )
        })?;
        Ok(self.position_bytes)
    }
}

impl<D: Disk> Disk for Window<D> {
    fn sync(&mut self) -> io::Result<()> {
        self.inner.sync()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn disk() -> Cursor<Vec<u8>> {
        Cursor::new((0..10).collect())
    }

    #[test]
    fn reads_end_at_the_window() {
        let mut window = Window::new(disk(), 3, 4).unwrap();
        let mut read = Vec::new();
        window.read_to_end(&mut read).unwrap();
        assert_eq!(read, [3, 4, 5, 6]);
    }

    #[test]
    fn writes_never_leave_the_window() {
        let mut window = Window::new(disk(), 3, 4).unwrap();
        window.seek(SeekFrom::Start(2)).unwrap();
        let error = window.write_all(&[0xaa; 3]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(
            window.into_inner().into_inner(),
            [0, 1, 2, 3, 4, 0xaa, 0xaa, 7, 8, 9]
        );
    }

    #[test]
    fn seeks_are_relative_to_the_window() {
        let mut window = Window::new(disk(), 3, 4).unwrap();
        assert_eq!(window.seek(SeekFrom::End(-1)).unwrap(), 3);
        let mut byte = [0];
        window.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [6]);
        assert_eq!(window.seek(SeekFrom::Current(-2)).unwrap(), 2);
        assert!(window.seek(SeekFrom::Current(-3)).is_err());
        assert_eq!(window.seek(SeekFrom::Start(99)).unwrap(), 99);
        assert_eq!(window.read(&mut byte).unwrap(), 0);
    }

    #[test]
    fn a_window_past_the_last_offset_is_refused() {
        assert!(Window::new(disk(), u64::MAX, 1).is_err());
    }
}

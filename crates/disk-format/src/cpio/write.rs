//! Writing an archive, entry by entry; the same calls give the same bytes.
//!
//! Everything belongs to root. Does not create parent directories by itself.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{CpioError, HEADER_LENGTH, MAGIC, TRAILER, file_type};

/// Writes an archive to `W`; finish it with [`Writer::finish`], or the kernel refuses it.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    modified_seconds: u32,
    /// Every path so far, and whether it is a directory.
    paths: BTreeMap<String, bool>,
}

/// What differs between the entries of one archive.
struct Header {
    inode: u32,
    mode: u32,
    modified_seconds: u32,
    length_bytes: u32,
    device: (u32, u32),
}

impl<W: Write> Writer<W> {
    /// An empty archive, whose entries will all have this modification time (Unix, in seconds).
    pub fn new(inner: W, modified_seconds: u32) -> Self {
        Self {
            inner,
            modified_seconds,
            paths: BTreeMap::new(),
        }
    }

    /// Adds a directory with these permission bits.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<(), CpioError> {
        self.entry(path, file_type::DIRECTORY, mode, &[], (0, 0))
    }

    /// Adds a file with these permission bits.
    pub fn file(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<(), CpioError> {
        self.entry(path, file_type::REGULAR, mode, contents, (0, 0))
    }

    /// Adds a symbolic link; its target is stored as it is.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), CpioError> {
        self.entry(path, file_type::SYMLINK, 0o777, target.as_bytes(), (0, 0))
    }

    /// Adds a character device, such as the `dev/console` that the kernel opens for /init.
    pub fn device_node(
        &mut self,
        path: &str,
        mode: u32,
        major: u32,
        minor: u32,
    ) -> Result<(), CpioError> {
        self.entry(path, file_type::CHARACTER_DEVICE, mode, &[], (major, minor))
    }

    /// Writes the trailer and gives the stream back.
    pub fn finish(mut self) -> Result<W, CpioError> {
        let header = Header {
            inode: 0,
            mode: 0,
            modified_seconds: 0,
            length_bytes: 0,
            device: (0, 0),
        };
        let written = write_entry(&mut self.inner, TRAILER, &header, &[]);
        written
            .and_then(|()| self.inner.flush())
            .map_err(|source| CpioError::Write {
                path: TRAILER.to_owned(),
                source,
            })?;
        Ok(self.inner)
    }

    fn entry(
        &mut self,
        path: &str,
        kind: u32,
        mode: u32,
        contents: &[u8],
        device: (u32, u32),
    ) -> Result<(), CpioError> {
        self.check_path(path)?;
        let length_bytes = u32::try_from(contents.len()).map_err(|_| CpioError::TooLong {
            path: path.to_owned(),
            length_bytes: contents.len() as u64,
        })?;
        // Numbers by order: those of a file system would differ between builds.
        let inode = u32::try_from(self.paths.len() + 1).unwrap_or(u32::MAX);
        let mode = kind | mode & !file_type::MASK;
        let modified_seconds = self.modified_seconds;
        let header = Header {
            inode,
            mode,
            modified_seconds,
            length_bytes,
            device,
        };
        write_entry(&mut self.inner, path, &header, contents).map_err(|source| {
            CpioError::Write {
                path: path.to_owned(),
                source,
            }
        })?;
        self.paths
            .insert(path.to_owned(), kind == file_type::DIRECTORY);
        Ok(())
    }

    fn check_path(&self, path: &str) -> Result<(), CpioError> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if !path.split('/').all(plain) || path == TRAILER {
            return Err(CpioError::Path(path.to_owned()));
        }
        if self.paths.contains_key(path) {
            return Err(CpioError::Duplicate(path.to_owned()));
        }
        match path.rsplit_once('/') {
            Some((parent, _)) if self.paths.get(parent) != Some(&true) => {
                Err(CpioError::MissingParent(path.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn write_entry<W: Write>(
    writer: &mut W,
    path: &str,
    header: &Header,
    contents: &[u8],
) -> io::Result<()> {
    let name_length = u32::try_from(path.len() + 1).map_err(io::Error::other)?;
    let links = if header.mode & file_type::MASK == file_type::DIRECTORY {
        2
    } else {
        1
    };
    let (major, minor) = header.device;
    let Header {
        inode,
        mode,
        modified_seconds,
        length_bytes,
        ..
    } = *header;
    writer.write_all(MAGIC)?;
    // Owner, group, and the numbers of the device that the archive was made on are 0.
    let fields = [
        inode,
        mode,
        0,
        0,
        links,
        modified_seconds,
        length_bytes,
        0,
        0,
    ];
    for field in fields.iter().chain(&[major, minor, name_length, 0]) {
        write!(writer, "{field:08x}")?;
    }
    writer.write_all(path.as_bytes())?;
    writer.write_all(&[0])?;
    pad(writer, HEADER_LENGTH + path.len() + 1)?;
    writer.write_all(contents)?;
    pad(writer, contents.len())
}

/// Header with name, and contents, each end at a multiple of 4.
fn pad<W: Write>(writer: &mut W, length: usize) -> io::Result<()> {
    writer.write_all(&[0; 3][..length.next_multiple_of(4) - length])
}

//! Reading an archive that is wholly in memory.
//!
//! Does not unpack, and refuses compressed archives.

use super::{CpioError, HEADER_LENGTH, MAGIC, TRAILER, file_type};

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where the entry goes, relative to the root.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// When it was last changed (Unix, in seconds).
    pub modified_seconds: u32,
    /// What it is.
    pub kind: EntryKind<'a>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A directory.
    Directory,
    /// A file with these contents.
    File(&'a [u8]),
    /// A symbolic link to this target.
    Symlink(String),
    /// A character device with major and minor number.
    CharacterDevice(u32, u32),
    /// A block device with major and minor number.
    BlockDevice(u32, u32),
    /// A pipe, a socket or something unknown, by the type bits of its mode.
    Other(u32),
}

/// A place in the archive.
struct Cursor<'a> {
    archive: &'a [u8],
    offset: usize,
    /// Where the entry at hand begins, for errors.
    entry_offset: usize,
}

/// The fields of a header that matter here.
struct Header {
    mode: u32,
    modified_seconds: u32,
    length: usize,
    device: (u32, u32),
    name_length: usize,
}

/// Every entry, in the archive's order.
///
/// Archives that follow each other, with zeros in between, are read as one: so does the kernel.
pub fn entries(archive: &[u8]) -> Result<Vec<Entry<'_>>, CpioError> {
    let mut cursor = Cursor {
        archive,
        offset: 0,
        entry_offset: 0,
    };
    let mut entries = Vec::new();
    loop {
        match cursor.entry()? {
            Some(entry) => entries.push(entry),
            None if cursor.skip_zeros() => return Ok(entries),
            None => {}
        }
    }
}

impl<'a> Cursor<'a> {
    /// The next entry; `None` for a trailer.
    fn entry(&mut self) -> Result<Option<Entry<'a>>, CpioError> {
        self.entry_offset = self.offset;
        let header = self.header()?;
        let path = self.text(header.name_length, true)?;
        self.align()?;
        let kind = self.kind(&header)?;
        self.align()?;
        if path == TRAILER {
            return Ok(None);
        }
        let mode = header.mode & !file_type::MASK;
        Ok(Some(Entry {
            path,
            mode,
            modified_seconds: header.modified_seconds,
            kind,
        }))
    }

    fn header(&mut self) -> Result<Header, CpioError> {
        let offset_bytes = self.offset;
        let bytes = self.take(HEADER_LENGTH)?;
        let digits = bytes
            .strip_prefix(MAGIC)
            .ok_or(CpioError::BadHeader { offset_bytes })?;
        let mut fields = [0; 13];
        for (field, digits) in fields.iter_mut().zip(digits.chunks_exact(8)) {
            *field = hexadecimal(digits).ok_or(CpioError::BadHeader { offset_bytes })?;
        }
        Ok(Header {
            mode: fields[1],
            modified_seconds: fields[5],
            length: fields[6] as usize,
            device: (fields[9], fields[10]),
            name_length: fields[11] as usize,
        })
    }

    fn kind(&mut self, header: &Header) -> Result<EntryKind<'a>, CpioError> {
        let (major, minor) = header.device;
        Ok(match header.mode & file_type::MASK {
            file_type::REGULAR => EntryKind::File(self.take(header.length)?),
            file_type::SYMLINK => EntryKind::Symlink(self.text(header.length, false)?),
            other => {
                self.take(header.length)?;
                match other {
                    file_type::DIRECTORY => EntryKind::Directory,
                    file_type::CHARACTER_DEVICE => EntryKind::CharacterDevice(major, minor),
                    file_type::BLOCK_DEVICE => EntryKind::BlockDevice(major, minor),
                    other => EntryKind::Other(other),
                }
            }
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], CpioError> {
        let cut_short = CpioError::CutShort {
            offset_bytes: self.entry_offset,
        };
        let rest = self.archive.get(self.offset..).unwrap_or_default();
        let Some(bytes) = rest.get(..length) else {
            return Err(cut_short);
        };
        self.offset += length;
        Ok(bytes)
    }

    fn text(&mut self, length: usize, ends_with_zero: bool) -> Result<String, CpioError> {
        let bad = CpioError::BadName {
            offset_bytes: self.entry_offset,
        };
        let bytes = self.take(length)?;
        let bytes = if ends_with_zero {
            bytes.strip_suffix(&[0])
        } else {
            Some(bytes)
        };
        match bytes.and_then(|bytes| str::from_utf8(bytes).ok()) {
            Some(text) => Ok(text.to_owned()),
            None => Err(bad),
        }
    }

    fn align(&mut self) -> Result<(), CpioError> {
        self.take(self.offset.next_multiple_of(4) - self.offset)
            .map(drop)
    }

    /// Moves to the next byte that is not zero; `true` if there is none.
    fn skip_zeros(&mut self) -> bool {
        let rest = &self.archive[self.offset..];
        let zeros = rest.iter().position(|byte| *byte != 0);
        self.offset += zeros.unwrap_or(rest.len());
        zeros.is_none()
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value: u32, digit| {
        Some(value << 4 | char::from(*digit).to_digit(16)?)
    })
}

//! Where a release's files come from: a directory, or anything else that gives bytes by path.
//!
//! Nothing that comes from a source is trusted; whoever asks checks it.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{ClientError, Result};

/// Gives the files of a release directory.
pub trait Source: Debug + Send + Sync {
    /// Opens a file, all of it or some bytes. What is read ends where the range does; if it ends before,
    /// that is the reader's error to find.
    ///
    /// # Errors
    /// `NotFound` if there is no such file; everything else as it comes.
    fn open(&self, path: &str, range: Option<Range<u64>>) -> io::Result<Box<dyn Read + Send>>;

    /// Takes to other mirrors since what came was wrong; `false` if there is none left to try.
    fn distrust(&self) -> bool {
        false
    }

    /// For messages.
    fn name(&self) -> String;
}

/// A directory on a disk of this machine.
#[derive(Clone, Debug)]
pub struct DirectorySource {
    folder: PathBuf,
}

impl DirectorySource {
    /// The directory with `metadata`, `targets` and `files` in it.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
        }
    }
}

impl Source for DirectorySource {
    fn open(&self, path: &str, range: Option<Range<u64>>) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(self.folder.join(path))?;
        let Some(range) = range else {
            return Ok(Box::new(file));
        };
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    fn name(&self) -> String {
        self.folder.display().to_string()
    }
}

/// Opens a file and names it if that fails.
pub(crate) fn open(
    source: &dyn Source,
    path: &str,
    range: Option<Range<u64>>,
) -> Result<Box<dyn Read + Send>> {
    source
        .open(path, range)
        .map_err(|error| fetch_error(source, path, error))
}

pub(crate) fn fetch_error(source: &dyn Source, path: &str, error: io::Error) -> ClientError {
    ClientError::Fetch {
        path: path.to_owned(),
        origin: source.name(),
        source: error,
    }
}

/// Reads some bytes of a file into memory; the range is as long as the caller wants to hold.
pub(crate) fn read_range(source: &dyn Source, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    let mut bytes = Vec::new();
    open(source, path, Some(range))?
        .take(length)
        .read_to_end(&mut bytes)
        .map_err(|error| fetch_error(source, path, error))?;
    if bytes.len() as u64 != length {
        return Err(fetch_error(
            source,
            path,
            io::ErrorKind::UnexpectedEof.into(),
        ));
    }
    Ok(bytes)
}

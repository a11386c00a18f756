//! Files that are fetched whole: into memory, or to a file that an interrupted download goes on with.
//!
//! A file has its name only after its digest was checked.

use std::fs::{self, File as LocalFile, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use update_model::digest::FileDigest;
use update_model::manifest::File;

use crate::error::{ClientError, Result};
use crate::source::{Source, fetch_error, open};

/// Extension of a file that is not complete.
const PARTIAL: &str = "part";
/// Read and written at once.
const BUFFER_LENGTH: usize = 1 << 17;

/// Fetches a file into memory; for small ones.
pub fn fetch(source: &dyn Source, file: &File) -> Result<Vec<u8>> {
    with_other_mirrors(source, || {
        let bytes = crate::source::read_range(source, &file.path, 0..file.length)?;
        check_digest(file, Sha256::digest(&bytes).into())?;
        Ok(bytes)
    })
}

/// Fetches a file into a folder, under the last part of its path, and says where it is.
///
/// If an earlier attempt left a part, goes on from there; if the disk is full, leaves nothing.
pub fn download(source: &dyn Source, file: &File, folder: &Path) -> Result<PathBuf> {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let target = folder.join(name);
    if is_complete(&target, file)? {
        return Ok(target);
    }
    let partial = folder.join(format!("{name}.{PARTIAL}"));
    let result = with_other_mirrors(source, || {
        let result = fetch_rest(source, file, &partial);
        if result.as_ref().is_err_and(ClientError::blames_the_source) {
            remove(&partial)?;
        }
        result
    });
    if let Err(error) = result {
        if error.is_disk_full() {
            remove(&partial)?;
        }
        return Err(error);
    }
    fs::rename(&partial, &target).map_err(|e| local("rename to", &target, e))?;
    Ok(target)
}

/// Tries again as long as what came was wrong and there is another mirror.
pub(crate) fn with_other_mirrors<T>(
    source: &dyn Source,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    loop {
        match attempt() {
            Err(error) if error.blames_the_source() && source.distrust() => {}
            result => return result,
        }
    }
}

fn is_complete(target: &Path, file: &File) -> Result<bool> {
    match LocalFile::open(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(local("open", target, error)),
        Ok(mut found) => {
            let mut hasher = Sha256::new();
            let length = hash(&mut found, &mut hasher).map_err(|e| local("read", target, e))?;
            Ok(length == file.length && FileDigest(hasher.finalize().into()) == file.sha256)
        }
    }
}

fn fetch_rest(source: &dyn Source, file: &File, partial: &Path) -> Result<()> {
    let mut target = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(partial)
        .map_err(|e| local("create", partial, e))?;
    let mut hasher = Sha256::new();
    let present = hash(&mut target, &mut hasher).map_err(|e| local("read", partial, e))?;
    check_length(file, present.min(file.length), present)?;
    let mut body = open(source, &file.path, Some(present..file.length))?;
    let mut buffer = vec![0; BUFFER_LENGTH];
    let mut length = present;
    while length < file.length {
        let count = body
            .read(&mut buffer)
            .map_err(|error| fetch_error(source, &file.path, error))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        target
            .write_all(&buffer[..count])
            .map_err(|e| local("write", partial, e))?;
        length += count as u64;
    }
    check_length(file, file.length, length)?;
    check_digest(file, hasher.finalize().into())?;
    target.sync_all().map_err(|e| local("write", partial, e))
}

fn check_length(file: &File, expected: u64, found: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(ClientError::Length {
        path: file.path.clone(),
        found,
        expected,
    })
}

/// Whether a digest is the file's.
pub(crate) fn check_digest(file: &File, found: [u8; 32]) -> Result<()> {
    if FileDigest(found) == file.sha256 {
        return Ok(());
    }
    Err(ClientError::Digest {
        path: file.path.clone(),
        found: FileDigest(found),
        expected: file.sha256,
    })
}

/// Hashes what is left of a stream, and counts it.
pub(crate) fn hash(stream: &mut impl Read, hasher: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER_LENGTH];
    let mut length = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(length),
            count => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(local("remove", path, error)),
        _ => Ok(()),
    }
}

fn local(action: &'static str, path: &Path, source: io::Error) -> ClientError {
    ClientError::Local {
        action,
        path: path.into(),
        source,
    }
}

//! A segment as a file: its name, how it is made ready, and one record read back.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::{Failure, LogError, Operation};
use crate::format::{Header, Preamble, RECORD_HEADER_BYTES};
use crate::locations::Location;

/// A segment is made under this name and renamed when it is ready.
pub(crate) const UNFINISHED_SUFFIX: &str = ".tmp";
const SUFFIX: &str = ".log";
/// Zeros are written in pieces of this size …
const ZEROS_BYTES: usize = 256 << 10;
/// … and synced after so many bytes, so that the log's own syncs never wait for more.
const SYNC_BYTES: u64 = 4 << 20;

/// An open segment.
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    pub(crate) salt: u32,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// Where a segment is.
pub(crate) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08x}{SUFFIX}"))
}

/// The number of the segment that a name belongs to.
pub(crate) fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    (number > 0 && format!("{number:08x}") == digits).then_some(number)
}

/// Makes a segment: room, zeros, preamble, and last its name, all durable when it returns.
/// `allocated` is called when a full disk can no longer stop it. `None` if `stop` asked to.
pub(crate) fn prepare(
    disk: &dyn Disk,
    folder: &Path,
    preamble: Preamble,
    allocated: impl FnOnce(),
    stop: impl Fn() -> bool,
) -> Result<Option<Segment>, Failure> {
    let path = path(folder, preamble.number);
    let unfinished = path.with_extension(&UNFINISHED_SUFFIX[1..]);
    let create = disk.create(&unfinished);
    let file = create.map_err(Failure::of(Operation::Create, &unfinished))?;
    let filled = fill(file.as_ref(), &unfinished, preamble, allocated, stop);
    if !matches!(filled, Ok(true)) {
        // It must not hold room that others need; opening the log removes it, if this does not.
        let _ = disk.remove(&unfinished);
    }
    if !filled? {
        return Ok(None);
    }
    disk.rename(&unfinished, &path)
        .map_err(Failure::of(Operation::Rename, &unfinished))?;
    disk.sync_folder(folder)
        .map_err(Failure::of(Operation::SyncFolder, folder))?;
    Ok(Some(Segment {
        number: preamble.number,
        bytes: preamble.bytes,
        salt: preamble.salt,
        path,
        file,
    }))
}

/// `false` if `stop` asked to.
fn fill(
    file: &dyn DiskFile,
    path: &Path,
    preamble: Preamble,
    allocated: impl FnOnce(),
    stop: impl Fn() -> bool,
) -> Result<bool, Failure> {
    let allocate = file.allocate(preamble.bytes);
    allocate.map_err(Failure::of(Operation::Allocate, path))?;
    allocated();
    let sync = || file.sync_data().map_err(Failure::of(Operation::Sync, path));
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = 0;
    while offset < preamble.bytes {
        if stop() {
            return Ok(false);
        }
        let rest = preamble.bytes - offset;
        let piece = usize::try_from(rest).map_or(ZEROS_BYTES, |rest| rest.min(ZEROS_BYTES));
        let write = file.write_at(&zeros[..piece], offset);
        write.map_err(Failure::of(Operation::Write, path))?;
        offset += piece as u64;
        if offset.is_multiple_of(SYNC_BYTES) {
            sync()?;
        }
    }
    let write = file.write_at(&preamble.encode(), 0);
    write.map_err(Failure::of(Operation::Write, path))?;
    sync()?;
    Ok(true)
}

/// A number that clients cannot know.
pub(crate) fn new_salt() -> u32 {
    (RandomState::new().build_hasher().finish() >> 32) as u32
}

impl Segment {
    /// Reads one entry.
    pub(crate) fn read_one(&self, index: u64, location: Location) -> Result<Bytes, LogError> {
        let mut read = self.read(&[(index, location)])?;
        Ok(read.pop().expect("one was asked for"))
    }

    /// Reads entries that lie one after another in this segment, with one read.
    pub(crate) fn read(&self, wanted: &[(u64, Location)]) -> Result<Vec<Bytes>, LogError> {
        let (Some((index, first)), Some((_, last))) = (wanted.first(), wanted.last()) else {
            return Ok(Vec::new());
        };
        let begin = first.offset as usize;
        let end = last.offset as usize + RECORD_HEADER_BYTES + last.length as usize;
        let mut buffer = vec![0; end - begin];
        let read = self.file.read_at(&mut buffer, u64::from(first.offset));
        let failed = Failure::of(Operation::Read, &self.path);
        read.map_err(|error| LogError::Unreadable {
            index: *index,
            failure: Arc::new(failed(error)),
        })?;
        let buffer = Bytes::from(buffer);
        let payload = |(index, location): &(u64, Location)| {
            let at = location.offset as usize - begin;
            self.payload(&buffer, at, *index, *location)
        };
        wanted.iter().map(payload).collect()
    }

    fn payload(
        &self,
        buffer: &Bytes,
        at: usize,
        index: u64,
        location: Location,
    ) -> Result<Bytes, LogError> {
        let record = &buffer[at..];
        let is_intact = |header: &Header| {
            header.index == index
                && header.length == location.length
                && header.matches(record, self.salt)
        };
        if !Header::decode(record).as_ref().is_some_and(is_intact) {
            return Err(LogError::Damaged {
                index,
                file: self.path.clone(),
                offset: u64::from(location.offset),
            });
        }
        let begin = at + RECORD_HEADER_BYTES;
        Ok(buffer.slice(begin..begin + location.length as usize))
    }
}

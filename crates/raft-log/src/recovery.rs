//! Reading a log back from its folder, and putting right what a power cut left.
//!
//! A write that was cut off is removed by itself: nobody was told that it is durable. Anything else
//! that is not as it was written is damage, and opening fails before a byte is changed, unless the
//! options say to cut it off. What needs no thought is in `scan`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, FolderLock};
use crate::error::{Expected, Failure, OpenError, Operation};
use crate::format::{FIRST_RECORD, Kind, Preamble};
use crate::locations::{Location, Locations};
use crate::log_state::LogState;
use crate::options::{Damage, Options};
use crate::scan::{End, Record, Scan, ScanError, scan};
use crate::segment::{self, Segment, UNFINISHED_SUFFIX};
use crate::writer::Tail;

/// A log as it was found and put right.
pub(crate) struct Recovered {
    pub(crate) state: LogState,
    pub(crate) locations: Locations,
    pub(crate) segments: BTreeMap<u32, Arc<Segment>>,
    pub(crate) tail: Tail,
    pub(crate) spare: Option<Arc<Segment>>,
    pub(crate) folder_lock: Box<dyn FolderLock>,
}

/// Where the records end, and what has to be done there.
struct Found {
    tail: Tail,
    /// Where the last write began.
    write_began: u32,
    /// Behind the last byte that must become zero.
    dirty_until: u32,
}

/// Segments read so far, oldest first.
#[derive(Default)]
struct Walk {
    state: LogState,
    locations: Locations,
    segments: BTreeMap<u32, Arc<Segment>>,
    found: Option<Found>,
    /// Segments behind the last record, and behind which byte they are zero.
    unused: Vec<(Arc<Segment>, u32)>,
}

/// Opens the log in a folder; an empty folder becomes an empty log.
pub(crate) fn recover(
    disk: &dyn Disk,
    folder: &Path,
    options: &Options,
) -> Result<Recovered, OpenError> {
    disk.create_folder(folder)
        .map_err(Failure::of(Operation::CreateFolder, folder))?;
    let folder_lock = lock(disk, folder)?;
    let names = disk
        .list(folder)
        .map_err(Failure::of(Operation::List, folder))?;
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| segment::number(name))
        .collect();
    numbers.sort_unstable();
    let run = numbers.split_off(beginning_of_run(&numbers));
    let unfinished = names
        .iter()
        .filter(|name| name.ends_with(UNFINISHED_SUFFIX));
    let mut unneeded: Vec<PathBuf> = unfinished.map(|name| folder.join(name)).collect();
    unneeded.extend(numbers.iter().map(|number| segment::path(folder, *number)));

    let mut walk = Walk::default();
    let read = walk.read(disk, folder, &run);
    let cut = match read {
        Err(error) if options.damage == Damage::CutOff && error.is_loss() => walk
            .found
            .as_ref()
            .map(|found| found.tail.segment.number)
            .ok_or(error)
            .map(Some),
        other => other.map(|()| None),
    }?;
    walk.check_beginning(folder, &run)?;
    if let Some(last) = cut {
        let behind = run.iter().rev().filter(|number| **number > last);
        unneeded.splice(0..0, behind.map(|number| segment::path(folder, *number)));
        walk.cut_off();
    }
    let found = walk.take_found(options, &mut unneeded);
    let spare = walk.take_spare(options, &mut unneeded);
    // First, so that what a purge made unneeded is only removed when the purge is durable.
    found.as_ref().map_or(Ok(()), Found::repair)?;
    unneeded.extend(walk.take_purged());
    remove(disk, folder, &unneeded)?;
    let found = match found {
        Some(found) => found,
        None => first_segment(disk, folder, options)?,
    };
    walk.segments
        .insert(found.tail.segment.number, found.tail.segment.clone());
    Ok(Recovered {
        state: walk.state,
        locations: walk.locations,
        segments: walk.segments,
        tail: found.tail,
        spare,
        folder_lock,
    })
}

fn lock(disk: &dyn Disk, folder: &Path) -> Result<Box<dyn FolderLock>, OpenError> {
    disk.lock_folder(folder).map_err(|error| {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            let folder = folder.to_owned();
            return OpenError::InUse { folder };
        }
        Failure::of(Operation::Lock, folder)(error).into()
    })
}

/// Where the segments begin that have no gap up to the newest. Older ones are left from a purge
/// whose removals were not durable, or the log is incomplete, which shows when it has been read.
fn beginning_of_run(numbers: &[u32]) -> usize {
    let gap = numbers.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
    gap.map_or(0, |gap| gap + 1)
}

/// In the order given: when it is cut short by a power cut, what is left is still refused.
///
/// The folder is synced in any case: the process before may have ended when a segment had its name
/// and the name was not durable.
fn remove(disk: &dyn Disk, folder: &Path, paths: &[PathBuf]) -> Result<(), Failure> {
    for path in paths {
        disk.remove(path)
            .map_err(Failure::of(Operation::Remove, path))?;
    }
    disk.sync_folder(folder)
        .map_err(Failure::of(Operation::SyncFolder, folder))
}

/// Makes the first segment of a new log.
fn first_segment(disk: &dyn Disk, folder: &Path, options: &Options) -> Result<Found, OpenError> {
    let preamble = Preamble {
        number: 1,
        bytes: options.first_segment_bytes,
        salt: segment::new_salt(),
    };
    let prepared = segment::prepare(disk, folder, preamble, || (), || false)?;
    Ok(Found::unused(
        Arc::new(prepared.expect("nobody asked to stop")),
        0,
    ))
}

fn damaged(segment: &Path, offset: u32, expected: Expected) -> OpenError {
    OpenError::Damaged {
        file: segment.to_owned(),
        offset: u64::from(offset),
        expected,
    }
}

impl Found {
    fn unused(segment: Arc<Segment>, dirty_until: u32) -> Self {
        let position = u32::try_from(FIRST_RECORD).expect("it is small");
        Self {
            tail: Tail {
                segment,
                position,
                chain: 0,
            },
            write_began: position,
            dirty_until,
        }
    }

    /// Makes what was read durable, and zeros what is behind it.
    ///
    /// The last write is written again: if its sync failed before, the operating system may believe
    /// that it is on the disk when it is not.
    fn repair(&self) -> Result<(), Failure> {
        let Segment { file, path, .. } = self.tail.segment.as_ref();
        let position = self.tail.position;
        let last_write = position.saturating_sub(self.write_began) as usize;
        let dirty = self.dirty_until.saturating_sub(position) as usize;
        if last_write + dirty == 0 {
            return Ok(());
        }
        let mut bytes = vec![0; last_write];
        let began = u64::from(self.write_began);
        file.read_at(&mut bytes, began)
            .map_err(Failure::of(Operation::Read, path))?;
        bytes.resize(last_write + dirty, 0);
        file.write_at(&bytes, began)
            .map_err(Failure::of(Operation::Write, path))?;
        file.sync_data().map_err(Failure::of(Operation::Sync, path))
    }
}

impl Walk {
    /// Reads segments. After an error it holds everything before the place of the error.
    fn read(&mut self, disk: &dyn Disk, folder: &Path, run: &[u32]) -> Result<(), OpenError> {
        let mut bytes = Vec::new();
        for number in run {
            let path = segment::path(folder, *number);
            let file = disk
                .open(&path)
                .map_err(Failure::of(Operation::Open, &path))?;
            let length = file.length().map_err(Failure::of(Operation::Read, &path))?;
            let Ok(length) = u32::try_from(length) else {
                return Err(damaged(&path, 0, Expected::Preamble));
            };
            bytes.resize(length as usize, 0);
            file.read_at(&mut bytes, 0)
                .map_err(Failure::of(Operation::Read, &path))?;
            let scan = scan(&bytes).map_err(|error| match error {
                ScanError::Damaged { expected } => damaged(&path, 0, expected),
                ScanError::Version { version } => {
                    let file = path.clone();
                    OpenError::Version { file, version }
                }
            })?;
            if scan.preamble.number != *number {
                return Err(damaged(&path, 0, Expected::Preamble));
            }
            let segment = Segment {
                number: *number,
                bytes: scan.preamble.bytes,
                salt: scan.preamble.salt,
                path,
                file,
            };
            self.segment(segment, &bytes, &scan)?;
        }
        Ok(())
    }

    fn segment(&mut self, segment: Segment, bytes: &[u8], scan: &Scan) -> Result<(), OpenError> {
        let segment = Arc::new(segment);
        if let Some(first) = scan.records.first() {
            self.check_follows(first)?;
            self.segments.insert(segment.number, segment.clone());
        }
        for record in &scan.records {
            self.replay(&segment, record, &bytes[record.payload()])?;
        }
        let dirty_until = match scan.end {
            End::Damaged { offset, .. } => {
                return Err(damaged(&segment.path, offset, Expected::Record));
            }
            End::Clean { .. } => 0,
            End::Torn { until, .. } => until,
        };
        match &mut self.found {
            Some(found) if !scan.records.is_empty() => found.dirty_until = dirty_until,
            _ => self.unused.push((segment, dirty_until)),
        }
        Ok(())
    }

    /// Whether a segment that begins with this record follows those read so far: a segment is begun
    /// only when everything before it is durable.
    fn check_follows(&self, first: &Record) -> Result<(), OpenError> {
        if let Some((unused, _)) = self.unused.first() {
            let offset = u32::try_from(FIRST_RECORD).expect("it is small");
            return Err(damaged(&unused.path, offset, Expected::Record));
        }
        match &self.found {
            Some(found) if found.tail.chain != first.previous || found.dirty_until != 0 => {
                let Tail {
                    segment, position, ..
                } = &found.tail;
                Err(damaged(&segment.path, *position, Expected::Record))
            }
            _ => Ok(()),
        }
    }

    fn replay(
        &mut self,
        segment: &Arc<Segment>,
        record: &Record,
        payload: &[u8],
    ) -> Result<(), OpenError> {
        let note = || Bytes::copy_from_slice(payload);
        match record.kind {
            Kind::State => {
                let state = LogState::decode(payload);
                // Behind another segment it repeats what is known already.
                let state = state.filter(|state| self.found.is_none() || *state == self.state);
                self.state = state
                    .ok_or_else(|| damaged(&segment.path, record.offset, Expected::Content))?;
            }
            Kind::Entry => {
                if !self.state.accepts(record.index) {
                    let index = self.state.next;
                    let expected = Expected::Entry { index };
                    return Err(damaged(&segment.path, record.offset, expected));
                }
                self.state.append(record.index);
                let location = Location {
                    number: segment.number,
                    offset: record.offset,
                    length: record.length,
                };
                self.locations.push(record.index, location);
            }
            Kind::Vote => self.state.vote = Some(note()),
            Kind::Committed => self.state.committed = Some(note()),
            Kind::Truncate => {
                self.state.truncate(record.index);
                self.locations.truncate(record.index);
            }
            Kind::Purge => {
                self.state.purge(record.index, note());
                self.locations.purge(record.index);
            }
        }
        self.found = Some(Found {
            tail: Tail {
                segment: segment.clone(),
                position: record.end(),
                chain: record.checksum,
            },
            write_began: record.write_began,
            dirty_until: 0,
        });
        Ok(())
    }

    /// Whether nothing is missing before the segments that were read.
    fn check_beginning(&self, folder: &Path, run: &[u32]) -> Result<(), OpenError> {
        let Some(oldest) = run.first() else {
            return Ok(());
        };
        let known_from = self.locations.first().unwrap_or(self.state.next);
        let is_complete = match self.found {
            Some(_) => known_from <= self.state.first,
            None => *oldest == 1,
        };
        if is_complete {
            return Ok(());
        }
        Err(OpenError::Missing {
            file: segment::path(folder, oldest.saturating_sub(1)),
        })
    }

    /// Gives up everything behind the last record.
    fn cut_off(&mut self) {
        self.unused.clear();
        if let Some(found) = &mut self.found {
            found.dirty_until = u32::try_from(found.tail.segment.bytes).unwrap_or(u32::MAX);
        }
    }

    /// Segments without entries, apart from the last one.
    fn take_purged(&mut self) -> Vec<PathBuf> {
        let last = self.segments.keys().next_back().copied().unwrap_or(0);
        let needed = self.locations.first_number().unwrap_or(last);
        let kept = self.segments.split_off(&needed);
        let purged = std::mem::replace(&mut self.segments, kept);
        purged
            .into_values()
            .map(|segment| segment.path.clone())
            .collect()
    }

    /// Where the log ends: in the first unused segment if there is no record at all.
    fn take_found(&mut self, options: &Options, unneeded: &mut Vec<PathBuf>) -> Option<Found> {
        if self.found.is_some() || self.unused.is_empty() {
            return self.found.take();
        }
        let (segment, dirty_until) = self.unused.remove(0);
        if segment.bytes < options.first_segment_bytes {
            unneeded.push(segment.path.clone());
            return None;
        }
        Some(Found::unused(segment, dirty_until))
    }

    /// The segment that was prepared, if it is of use.
    fn take_spare(
        &mut self,
        options: &Options,
        unneeded: &mut Vec<PathBuf>,
    ) -> Option<Arc<Segment>> {
        let mut spare = None;
        for (position, (segment, dirty_until)) in self.unused.drain(..).enumerate() {
            let is_usable = dirty_until == 0 && segment.bytes >= options.first_segment_bytes;
            if position == 0 && is_usable {
                spare = Some(segment);
            } else {
                unneeded.push(segment.path.clone());
            }
        }
        spare
    }
}

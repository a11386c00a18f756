//! The log as its users see it.
//!
//! It checks requests and queues them; the writer makes them durable. It does not know what votes,
//! notes and payloads mean.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;

use crate::cache::Cache;
use crate::disk::Disk;
use crate::error::{Expected, Failure, LogError, OpenError, Operation};
use crate::histogram::Histogram;
use crate::keeper::Keeper;
use crate::log_state::LogState;
use crate::options::{NOTE_BYTES_MAX, Options};
use crate::recovery::{Recovered, recover};
use crate::shared::{Condition, Done, Entry, Inner, Shared, Work};
use crate::writer::Writer;

/// Whether there is room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceState {
    /// There is.
    Ok,
    /// The disk is full, and what was preallocated is nearly used up: ask for nothing that can be
    /// refused. What is asked for all the same is queued, and written when there is room again.
    Full,
}

/// A durable log. Cheap to clone; the last clone to go drains the queue and ends the threads.
#[derive(Clone)]
pub struct RaftLog {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    options: Options,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl RaftLog {
    /// Opens the log in a folder and puts right what a power cut left; an empty or missing folder
    /// becomes an empty log. Reads every segment once.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, options: Options) -> Result<Self, OpenError> {
        let options = options.fitted();
        let recovered = recover(disk.as_ref(), folder, &options)?;
        let cache = last_cached(&recovered, options.cache_bytes_max)?;
        let Recovered {
            state,
            locations,
            segments,
            tail,
            spare,
            folder_lock,
        } = recovered;
        let inner = Inner::new(state.clone(), locations, segments, cache);
        let keeper = Keeper::new(disk, folder.to_owned(), &options, spare);
        let shared = Arc::new(Shared::new(inner, keeper, folder_lock));
        let log = Self {
            handle: Arc::new(Handle {
                shared: shared.clone(),
                options: options.clone(),
                threads: Mutex::default(),
            }),
        };
        let keeping = shared.clone();
        let failed = |error| OpenError::Storage(Failure::of(Operation::Create, folder)(error));
        log.spawn("raft-log-keeper", move || keeping.keeper.run())
            .map_err(failed)?;
        // It may wait for the keeper.
        let writer = Writer::new(shared, options, tail, state);
        log.spawn("raft-log-writer", move || writer.run())
            .map_err(failed)?;
        Ok(log)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        self.handle.threads().push(thread);
        Ok(())
    }

    /// Adds entries. They can be read when it returns and are durable when `done` is called; the
    /// `done`s of all requests are called in order. Either all entries are taken or, with
    /// [`LogError::Gap`] or [`LogError::TooLarge`], none.
    pub fn append(&self, entries: Vec<Entry>, done: Done) {
        let bytes_max = self.handle.options.payload_bytes_max;
        let Some((mut inner, done)) = self.handle.shared.taking(done) else {
            return;
        };
        if let Err(error) = check_entries(&inner.state, &entries, bytes_max) {
            drop(inner);
            return done(Err(error));
        }
        let sequence = inner.next_sequence();
        for entry in &entries {
            inner.state.append(entry.index);
            inner
                .cache
                .push(entry.index, entry.payload.clone(), sequence);
        }
        self.handle.shared.send(inner, Work::Append(entries), done);
    }

    /// Replaces the vote. It goes through the same queue as entries, so they are never reordered.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        if let Err(error) = check_size(vote.len(), NOTE_BYTES_MAX) {
            return done(Err(error));
        }
        let Some((mut inner, done)) = self.handle.shared.taking(done) else {
            return;
        };
        inner.state.vote = Some(vote.clone());
        self.handle.shared.send(inner, Work::Vote(vote), done);
    }

    /// Replaces the note on what is committed. It is written along with what comes next, in order,
    /// or when the log is closed; nobody hears when. One above 4 KiB is not taken.
    pub fn save_committed(&self, note: Bytes) {
        if check_size(note.len(), NOTE_BYTES_MAX).is_err() {
            return;
        }
        let mut inner = self.handle.shared.lock();
        if matches!(inner.condition, Condition::Open) {
            inner.state.committed = Some(note.clone());
            inner.push_committed(note);
        }
    }

    /// Removes the entries behind `keep`; all of them if it is `None`. Purged entries stay purged.
    pub fn truncate_after(&self, keep: impl Into<Option<u64>>, done: Done) {
        let from = keep.into().map_or(0, |keep| keep.saturating_add(1));
        let Some((mut inner, done)) = self.handle.shared.taking(done) else {
            return;
        };
        let mut state = inner.state.clone();
        state.truncate(from);
        // The last entry is always cached.
        let last = (!state.is_empty()).then(|| state.next - 1);
        let last = last.filter(|last| inner.cache.get(*last).is_none());
        let payload = match last.map(|last| read_durable(&inner, last)).transpose() {
            Ok(payload) => payload,
            Err(error) => {
                drop(inner);
                return done(Err(error));
            }
        };
        inner.state = state;
        inner.cache.truncate(from);
        if let (Some(last), Some(payload)) = (last, payload) {
            inner.cache.push(last, payload, 0);
        }
        self.handle.shared.send(inner, Work::Truncate(from), done);
    }

    /// Removes the entries up to and including `index`, and keeps `note` (what the caller wants to
    /// know of the last one). If the log ends before, it goes on behind `index`. Purging less than
    /// is purged already does nothing.
    pub fn purge_up_to(&self, index: u64, note: Bytes, done: Done) {
        if let Err(error) = check_size(note.len(), NOTE_BYTES_MAX) {
            return done(Err(error));
        }
        let Some((mut inner, done)) = self.handle.shared.taking(done) else {
            return;
        };
        inner.state.purge(index, note.clone());
        inner.cache.purge(index);
        self.handle
            .shared
            .send(inner, Work::Purge(index, note), done);
    }

    /// The first entry's index.
    pub fn first_index(&self) -> Option<u64> {
        let inner = self.handle.shared.lock();
        (!inner.state.is_empty()).then_some(inner.state.first)
    }

    /// The last entry; it is always in memory.
    pub fn last(&self) -> Option<Entry> {
        let inner = self.handle.shared.lock();
        let index = inner.state.next.checked_sub(1)?;
        let payload = inner.cache.get(index)?.clone();
        Some(Entry { index, payload })
    }

    /// The last vote that was saved.
    pub fn vote(&self) -> Option<Bytes> {
        self.handle.shared.lock().state.vote.clone()
    }

    /// The last note on what is committed; after a restart it may be an earlier one.
    pub fn committed(&self) -> Option<Bytes> {
        self.handle.shared.lock().state.committed.clone()
    }

    /// Up to where the log was purged, and the note on it.
    pub fn purged(&self) -> Option<(u64, Bytes)> {
        self.handle.shared.lock().state.purged.clone()
    }

    /// Whether there is room for more. To be asked before every request that can be refused.
    pub fn space(&self) -> SpaceState {
        let shared = &self.handle.shared;
        if !shared.keeper.has_no_room() {
            return SpaceState::Ok;
        }
        let inner = shared.lock();
        match inner.left_bytes.checked_sub(inner.queued_bytes) {
            Some(left) if left >= self.handle.options.reserve_bytes => SpaceState::Ok,
            _ => SpaceState::Full,
        }
    }

    /// Why the log takes nothing more, if it failed.
    pub fn failure(&self) -> Option<Arc<Failure>> {
        match &self.handle.shared.lock().condition {
            Condition::Failed(failure) => Some(failure.clone()),
            _ => None,
        }
    }

    /// How long syncs took.
    pub fn fsync_histogram(&self) -> Histogram {
        self.handle.shared.lock().syncs.clone()
    }

    /// Bytes on the disk of all segments that hold something.
    pub fn disk_bytes(&self) -> u64 {
        let inner = self.handle.shared.lock();
        inner.segments.values().map(|segment| segment.bytes).sum()
    }

    /// Writes what is queued and ends; other clones get [`LogError::Closed`] from now on. The folder
    /// can be opened again when it returns (unless it is called by a `done`).
    pub fn close(self) {
        self.handle.end();
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl Handle {
    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.shared.close();
        // The writer was started last and must end first: it may still need the keeper.
        let mut threads = std::mem::take(&mut *self.threads());
        let writer = (threads.len() > 1).then(|| threads.pop()).flatten();
        // A `done` may hold the last clone: the writer cannot wait for itself, and ends the keeper.
        let is_writer = writer
            .as_ref()
            .is_some_and(|w| w.thread().id() == thread::current().id());
        if is_writer {
            return;
        }
        writer.map(JoinHandle::join);
        self.shared.keeper.close();
        threads.pop().map(JoinHandle::join);
        self.shared.unlock_folder();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

fn check_size(bytes: usize, bytes_max: usize) -> Result<(), LogError> {
    if bytes > bytes_max {
        return Err(LogError::TooLarge { bytes, bytes_max });
    }
    Ok(())
}

fn check_entries(state: &LogState, entries: &[Entry], bytes_max: usize) -> Result<(), LogError> {
    let Some(first) = entries.first() else {
        return Ok(());
    };
    let begin = if state.accepts(first.index) {
        first.index
    } else {
        state.next
    };
    for (expected, entry) in (begin..).zip(entries) {
        if entry.index != expected {
            let found = entry.index;
            return Err(LogError::Gap { expected, found });
        }
        check_size(entry.payload.len(), bytes_max)?;
    }
    Ok(())
}

/// Reads an entry that is durable.
fn read_durable(inner: &Inner, index: u64) -> Result<Bytes, LogError> {
    let location = inner
        .locations
        .get(index)
        .expect("what is not cached is durable");
    let segment = &inner.segments[&location.number];
    segment.read_one(index, location)
}

/// A cache with the last entry of a log that was just read.
fn last_cached(recovered: &Recovered, bytes_max: usize) -> Result<Cache, OpenError> {
    let mut cache = Cache::new(bytes_max);
    if recovered.state.is_empty() {
        return Ok(cache);
    }
    let index = recovered.state.next - 1;
    let location = recovered
        .locations
        .get(index)
        .expect("every entry was found");
    let segment = &recovered.segments[&location.number];
    let payload = segment
        .read_one(index, location)
        .map_err(|error| match error {
            LogError::Unreadable { failure, .. } => {
                let Failure {
                    operation, path, ..
                } = failure.as_ref();
                let source = io::Error::from(failure.source.kind());
                Failure::of(*operation, path)(source).into()
            }
            _ => OpenError::Damaged {
                file: segment.path.clone(),
                offset: u64::from(location.offset),
                expected: Expected::Entry { index },
            },
        })?;
    cache.push(index, payload, 0);
    Ok(cache)
}

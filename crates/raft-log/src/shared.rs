//! What callers, the writer and readers share, under one lock.
//!
//! Two timelines meet here. Callers see what they asked for at once (`state`, `cache`); `locations`
//! and `segments` follow what is durable. An entry that is no longer cached is durable, and nothing
//! that is still queued removes it, or it would be gone from the callers' timeline too: so its
//! location is right.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::cache::Cache;
use crate::disk::FolderLock;
use crate::error::{Failure, LogError};
use crate::format::record_bytes;
use crate::histogram::Histogram;
use crate::keeper::Keeper;
use crate::locations::Locations;
use crate::log_state::LogState;
use crate::segment::Segment;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Entries are numbered without gaps.
    pub index: u64,
    /// Opaque to the log.
    pub payload: Bytes,
}

/// Called once, from the writer's thread, when a request is durable or has failed. It must not wait:
/// the next write begins after it.
pub type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;

/// Something to be written.
pub(crate) enum Work {
    Append(Vec<Entry>),
    Vote(Bytes),
    Committed(Bytes),
    /// Entries from here on are removed.
    Truncate(u64),
    Purge(u64, Bytes),
}

impl Work {
    /// Bytes on the disk.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Append(entries) => entries
                .iter()
                .map(|entry| record_bytes(entry.payload.len()))
                .sum(),
            Self::Vote(note) | Self::Committed(note) | Self::Purge(_, note) => {
                record_bytes(note.len())
            }
            Self::Truncate(_) => record_bytes(0),
        };
        bytes as u64
    }

    fn entries(&self) -> usize {
        match self {
            Self::Append(entries) => entries.len(),
            _ => 1,
        }
    }
}

/// A request in the queue.
pub(crate) struct Request {
    pub(crate) sequence: u64,
    pub(crate) work: Work,
    pub(crate) bytes: u64,
    /// What nobody waits for does not wake the writer.
    pub(crate) done: Option<Done>,
}

/// Who takes requests.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Open,
    Failed(Arc<Failure>),
    /// What is queued is still written.
    Closing,
    /// The writer has ended.
    Closed,
}

pub(crate) struct Inner {
    /// As asked for.
    pub(crate) state: LogState,
    pub(crate) cache: Cache,
    /// As durable.
    pub(crate) locations: Locations,
    pub(crate) segments: BTreeMap<u32, Arc<Segment>>,
    pub(crate) condition: Condition,
    /// Bytes left in the segment that is being written.
    pub(crate) left_bytes: u64,
    pub(crate) queued_bytes: u64,
    pub(crate) syncs: Histogram,
    queue: VecDeque<Request>,
    /// Requests in the queue that somebody waits for.
    awaited: usize,
    sequence: u64,
    writer_waits: bool,
}

/// A batch is not extended beyond this many bytes …
pub(crate) const BATCH_BYTES: u64 = 1 << 20;
/// … or entries. A single larger request is taken whole.
const BATCH_ENTRIES: usize = 4096;

impl Inner {
    pub(crate) fn new(
        state: LogState,
        locations: Locations,
        segments: BTreeMap<u32, Arc<Segment>>,
        cache: Cache,
    ) -> Self {
        Self {
            state,
            cache,
            locations,
            segments,
            condition: Condition::Open,
            left_bytes: 0,
            queued_bytes: 0,
            syncs: Histogram::default(),
            queue: VecDeque::new(),
            awaited: 0,
            sequence: 0,
            writer_waits: false,
        }
    }

    /// The number that the next request gets.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    fn push(&mut self, work: Work, done: Option<Done>) {
        self.sequence += 1;
        let bytes = work.bytes();
        self.queued_bytes += bytes;
        self.awaited += usize::from(done.is_some());
        self.queue.push_back(Request {
            sequence: self.sequence,
            work,
            bytes,
            done,
        });
    }

    /// Notes that nobody waits for replace each other.
    pub(crate) fn push_committed(&mut self, note: Bytes) {
        if let Some(Request { work, bytes, .. }) = self.queue.back_mut()
            && matches!(work, Work::Committed(_))
        {
            *work = Work::Committed(note);
            self.queued_bytes = self.queued_bytes - *bytes + work.bytes();
            *bytes = work.bytes();
        } else {
            self.push(Work::Committed(note), None);
        }
    }

    /// Moves the next batch out of the queue; some of it stays if it would be too much.
    fn take(&mut self, batch: &mut Vec<Request>) {
        let (mut bytes, mut entries) = (0, 0);
        while let Some(next) = self.queue.front() {
            bytes += next.bytes;
            entries += next.work.entries();
            if !batch.is_empty() && (bytes > BATCH_BYTES || entries > BATCH_ENTRIES) {
                return;
            }
            if let Some(request) = self.queue.pop_front() {
                self.awaited -= usize::from(request.done.is_some());
                batch.push(request);
            }
        }
    }
}

/// The log's shared part.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    queued: Condvar,
    pub(crate) keeper: Keeper,
    folder_lock: Mutex<Option<Box<dyn FolderLock>>>,
}

impl Shared {
    pub(crate) fn new(inner: Inner, keeper: Keeper, folder_lock: Box<dyn FolderLock>) -> Self {
        Self {
            inner: Mutex::new(inner),
            queued: Condvar::new(),
            keeper,
            folder_lock: Mutex::new(Some(folder_lock)),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks, to change what callers see and then [`send`](Self::send). If the log takes nothing
    /// more, `done` hears it and nothing is to be changed.
    pub(crate) fn taking(&self, done: Done) -> Option<(MutexGuard<'_, Inner>, Done)> {
        let inner = self.lock();
        match inner.condition {
            Condition::Open => return Some((inner, done)),
            // Through the queue, behind those before.
            Condition::Failed(_) => self.send(inner, Work::Append(Vec::new()), done),
            Condition::Closing | Condition::Closed => {
                drop(inner);
                done(Err(LogError::Closed));
            }
        }
        None
    }

    /// Queues a request and wakes the writer.
    pub(crate) fn send(&self, mut inner: MutexGuard<'_, Inner>, work: Work, done: Done) {
        inner.push(work, Some(done));
        let wake = std::mem::take(&mut inner.writer_waits);
        drop(inner);
        if wake {
            self.queued.notify_one();
        }
    }

    /// Lets the writer end when the queue is empty.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        if matches!(inner.condition, Condition::Open | Condition::Failed(_)) {
            inner.condition = Condition::Closing;
        }
        drop(inner);
        self.queued.notify_one();
        self.keeper.drain();
    }

    /// Waits for requests; `false` when the log is closing and there are none.
    pub(crate) fn next_batch(&self, batch: &mut Vec<Request>) -> bool {
        let mut inner = self.lock();
        while inner.awaited == 0 && !matches!(inner.condition, Condition::Closing) {
            inner.writer_waits = true;
            inner = self
                .queued
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inner.writer_waits = false;
        inner.take(batch);
        !batch.is_empty()
    }

    /// The writer has ended: nobody would answer what is queued or comes now.
    pub(crate) fn writer_ended(&self) {
        let mut inner = self.lock();
        inner.condition = Condition::Closed;
        inner.awaited = 0;
        let left = std::mem::take(&mut inner.queue);
        drop(inner);
        for done in left.into_iter().filter_map(|request| request.done) {
            done(Err(LogError::Closed));
        }
        self.keeper.close();
    }

    /// Others may open the log.
    pub(crate) fn unlock_folder(&self) {
        *self
            .folder_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

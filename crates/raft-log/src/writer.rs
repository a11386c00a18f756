//! The writer: one thread that makes requests durable, in order, many with one sync.
//!
//! There is no timer: what arrives while a sync runs goes into the next one. It retries nothing:
//! after a failed write or sync the operating system may have dropped what was written.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Failure, LogError, Operation};
use crate::format::{self, FIRST_RECORD, Kind, Place};
use crate::locations::Location;
use crate::log_state::LogState;
use crate::options::Options;
use crate::segment::Segment;
use crate::shared::{BATCH_BYTES, Condition, Request, Shared, Work};

/// A buffer that grew beyond this, in bytes, is given back.
const BUFFER_BYTES_KEPT: usize = 2 << 20;

/// Where the log ends.
pub(crate) struct Tail {
    pub(crate) segment: Arc<Segment>,
    /// Offset of the next record.
    pub(crate) position: u32,
    /// Checksum of the last record.
    pub(crate) chain: u32,
}

/// A change of the locations that comes with a write.
enum Change {
    Entry(u64, Location),
    Truncate(u64),
    Purge(u64),
}

/// A request's end.
struct Completed {
    sequence: u64,
    bytes: u64,
}

/// Whichever way the thread ends, nobody waits for it any more.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.writer_ended();
    }
}

/// What the writer's thread holds.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    options: Options,
    tail: Tail,
    /// The log up to the last record in the buffer.
    state: LogState,
    /// Records that go to the tail's position with the next write.
    buffer: Vec<u8>,
    changes: Vec<Change>,
    failure: Option<Arc<Failure>>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, options: Options, tail: Tail, state: LogState) -> Self {
        let writer = Self {
            shared,
            options,
            tail,
            state,
            buffer: Vec::new(),
            changes: Vec::new(),
            failure: None,
        };
        writer.shared.lock().left_bytes = writer.left_bytes();
        writer.prepare_next();
        writer
    }

    /// The writer's thread.
    pub(crate) fn run(mut self) {
        let shared = self.shared.clone();
        let _ending = Ending(&shared);
        let mut batch = Vec::new();
        while self.shared.next_batch(&mut batch) {
            let result = match &self.failure {
                Some(failure) => Err(failure.clone()),
                None => self.write(&batch),
            };
            let result = result.map_err(|failure| self.fail(failure));
            for done in batch.drain(..).filter_map(|request| request.done) {
                // A caller that panics must not take the others' log away; the panic is reported
                // by the panic hook.
                let _ = catch_unwind(AssertUnwindSafe(|| done(result.clone())));
            }
        }
    }

    fn fail(&mut self, failure: Arc<Failure>) -> LogError {
        if self.failure.is_none() {
            self.failure = Some(failure.clone());
            let mut inner = self.shared.lock();
            if matches!(inner.condition, Condition::Open) {
                inner.condition = Condition::Failed(failure.clone());
            }
        }
        LogError::Failed(failure)
    }

    fn write(&mut self, batch: &[Request]) -> Result<(), Arc<Failure>> {
        for request in batch {
            self.encode(&request.work)?;
        }
        let completed = batch.last().map(|last| Completed {
            sequence: last.sequence,
            bytes: batch.iter().map(|request| request.bytes).sum(),
        });
        self.flush(completed.as_ref())
    }

    fn encode(&mut self, work: &Work) -> Result<(), Arc<Failure>> {
        match work {
            Work::Append(entries) => {
                for entry in entries {
                    let location = self.record(Kind::Entry, entry.index, &entry.payload)?;
                    self.state.append(entry.index);
                    self.changes.push(Change::Entry(entry.index, location));
                }
            }
            Work::Vote(vote) => {
                self.record(Kind::Vote, 0, vote)?;
                self.state.vote = Some(vote.clone());
            }
            Work::Committed(note) => {
                self.record(Kind::Committed, 0, note)?;
                self.state.committed = Some(note.clone());
            }
            Work::Truncate(from) => {
                self.record(Kind::Truncate, *from, &[])?;
                self.state.truncate(*from);
                self.changes.push(Change::Truncate(*from));
            }
            Work::Purge(index, note) => {
                self.record(Kind::Purge, *index, note)?;
                self.state.purge(*index, note.clone());
                self.changes.push(Change::Purge(*index));
            }
        }
        Ok(())
    }

    /// Puts a record into the buffer; what does not fit is written first.
    fn record(&mut self, kind: Kind, index: u64, payload: &[u8]) -> Result<Location, Arc<Failure>> {
        let bytes = format::record_bytes(payload.len()) as u64;
        let fits = bytes <= self.left_bytes();
        if !fits || self.buffer.len() as u64 >= BATCH_BYTES {
            self.flush(None)?;
        }
        if !fits {
            self.next_segment()?;
        }
        if self.tail.position as usize == FIRST_RECORD && self.buffer.is_empty() {
            let state = self.state.encode();
            self.put(Kind::State, 0, &state);
        }
        Ok(self.put(kind, index, payload))
    }

    fn put(&mut self, kind: Kind, index: u64, payload: &[u8]) -> Location {
        let offset = self.tail.position as usize + self.buffer.len();
        let place = Place {
            salt: self.tail.segment.salt,
            previous: self.tail.chain,
            write_began: self.tail.position,
        };
        self.tail.chain = format::put_record(&mut self.buffer, place, kind, index, payload);
        let small = |number| u32::try_from(number).expect("segments are below 4 GiB");
        Location {
            number: self.tail.segment.number,
            offset: small(offset),
            length: small(payload.len()),
        }
    }

    /// Bytes that still fit into the segment behind the buffer.
    fn left_bytes(&self) -> u64 {
        let used = u64::from(self.tail.position) + self.buffer.len() as u64;
        self.tail.segment.bytes.saturating_sub(used)
    }

    /// Writes the buffer and makes it durable, then makes it known.
    fn flush(&mut self, completed: Option<&Completed>) -> Result<(), Arc<Failure>> {
        let mut took = None;
        if !self.buffer.is_empty() {
            took = Some(self.write_buffer()?);
            self.tail.position += u32::try_from(self.buffer.len()).expect("it fits the segment");
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        }
        self.publish(completed, took);
        self.prepare_next();
        Ok(())
    }

    fn write_buffer(&self) -> Result<Duration, Failure> {
        let Segment { file, path, .. } = self.tail.segment.as_ref();
        let write = file.write_at(&self.buffer, u64::from(self.tail.position));
        write.map_err(Failure::of(Operation::Write, path))?;
        let began = Instant::now();
        file.sync_data()
            .map_err(Failure::of(Operation::Sync, path))?;
        Ok(began.elapsed())
    }

    fn publish(&mut self, completed: Option<&Completed>, took: Option<Duration>) {
        let left_bytes = self.left_bytes();
        let mut inner = self.shared.lock();
        for change in self.changes.drain(..) {
            match change {
                Change::Entry(index, location) => inner.locations.push(index, location),
                Change::Truncate(from) => inner.locations.truncate(from),
                Change::Purge(index) => inner.locations.purge(index),
            }
        }
        inner.left_bytes = left_bytes;
        if let Some(took) = took {
            inner.syncs.add(took);
        }
        if let Some(completed) = completed {
            inner.queued_bytes -= completed.bytes;
            inner.cache.evict(completed.sequence);
        }
        let current = self.tail.segment.number;
        let needed = inner
            .locations
            .first_number()
            .unwrap_or(current)
            .min(current);
        let mut unneeded = Vec::new();
        while let Some(oldest) = inner.segments.first_entry()
            && *oldest.key() < needed
        {
            unneeded.push(oldest.remove());
        }
        drop(inner);
        self.shared.keeper.remove(unneeded);
    }

    /// Asks for the next segment in good time. When the reserve is touched, it must be known whether
    /// there is room for one before anybody is told to go on.
    fn prepare_next(&self) {
        let segment = &self.tail.segment;
        let reserve = self.options.reserve_bytes;
        let left = self.left_bytes();
        if left < (segment.bytes / 2).max(2 * reserve) {
            let bytes = self.options.next_segment_bytes(segment.bytes);
            self.shared.keeper.want(segment.number + 1, bytes);
        }
        if left < reserve {
            self.shared.keeper.wait_for_answer();
        }
    }

    /// Goes on in the next segment; waits for room if the disk is full.
    fn next_segment(&mut self) -> Result<(), Arc<Failure>> {
        let segment = self.shared.keeper.take()?;
        self.tail.segment = segment.clone();
        self.tail.position = u32::try_from(FIRST_RECORD).expect("it is small");
        self.shared.lock().segments.insert(segment.number, segment);
        Ok(())
    }
}

//! Making what is applied durable: the thread, and one flush.
//!
//! When it is time is decided by [`crate::control`].
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::MutexGuard;

use crate::backend::Failure;
use crate::base::Base;
use crate::control::Job;
use crate::database::{CommitError, Database, Meta};
use crate::delta::Delta;
use crate::disk::is_no_space;
use crate::state::Progress;
use crate::store::Shared;

/// The thread that flushes; it ends, after a last flush, when this is dropped.
pub(crate) struct FlushThread {
    shared: Arc<Shared>,
    handle: Option<JoinHandle<()>>,
}

impl FlushThread {
    pub(crate) fn spawn(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let builder = std::thread::Builder::new().name("store flush".to_owned());
        let of_thread = Arc::clone(shared);
        Ok(Self {
            handle: Some(builder.spawn(move || run(&of_thread))?),
            shared: Arc::clone(shared),
        })
    }
}

impl Drop for FlushThread {
    fn drop(&mut self) {
        self.shared.control.stop();
        if let Some(handle) = self.handle.take() {
            // It catches its panics; and there is nobody to tell.
            let _ended = handle.join();
        }
    }
}

fn run(shared: &Shared) {
    loop {
        match shared.control.next_job() {
            Job::Flush => flush_or_note(shared),
            Job::Stop => {
                if shared.control.is_worth_flushing() {
                    flush_or_note(shared);
                }
                return;
            }
        }
    }
}

fn flush_or_note(shared: &Shared) {
    let flushed = catch_unwind(AssertUnwindSafe(|| flush(shared)));
    let failure = match flushed {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Lasting("a panic while writing the database".to_owned()),
    };
    note_failure(shared, failure);
}

/// Lets everybody know that something could not be written.
pub(crate) fn note_failure(shared: &Shared, failure: Failure) {
    let (pending, base) = {
        let state = shared.state.read();
        (state.pending_at_all(), Arc::clone(&state.layers.base))
    };
    if let Failure::Lasting(_) = failure {
        base.abandon();
    }
    shared.control.failed(failure, pending);
}

/// What one flush makes durable.
struct Taken {
    deltas: Vec<Arc<Delta>>,
    sequence: u64,
    meta: Meta,
}

fn flush(shared: &Shared) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut database = shared.database.lock();
    let taken = take_up(shared)?;
    check_room(shared, &taken.deltas)?;
    let unsynced = shared.segments.lock().take_unsynced();
    let synced = unsynced.sync(&*shared.disk);
    synced.map_err(|error| Failure::Lasting(format!("the history: {error}")))?;
    let base = match database.commit(&taken.deltas, &taken.meta) {
        Ok(()) => database.base(),
        Err(error) => recover(shared, &mut database, &taken.meta, error)?,
    };
    let base = base.map_err(|error| Failure::Lasting(error.to_string()))?;
    let length = database.length();
    shared.database_bytes.store(length, Ordering::Relaxed);
    let (flushed, pending) = {
        let mut state = shared.state.write();
        let flushed = state.layers_mut().flushed(Arc::new(base));
        (flushed, state.pending())
    };
    drop(flushed);
    // A file that cannot be removed stays until the next start; nothing depends on it.
    let _trimmed = shared.segments.lock().trim(taken.meta.history);
    let progress = taken.meta.progress.map(Progress);
    let took = begin.elapsed();
    shared
        .control
        .flushed(taken.sequence, progress, took, pending);
    Ok(())
}

/// Refuses a flush that may not find room, before the database notices: a write that fails there
/// costs opening it again. Every row may need a page of its own to be written anew.
fn check_room(shared: &Shared, deltas: &[Arc<Delta>]) -> Result<(), Failure> {
    let rows: usize = deltas.iter().map(|delta| delta.rows()).sum();
    let bytes: usize = deltas.iter().map(|delta| delta.bytes()).sum();
    let needed = (bytes + rows * PAGE_BYTES) as u64 + COMMIT_BYTES;
    match shared.disk.free_bytes(&shared.folder) {
        Ok(free) if free < needed => {
            let reason = format!("{free} bytes are free, a flush may need {needed}");
            Err(Failure::NoSpace(reason))
        }
        // If it cannot be told, writing will.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// redb's.
const PAGE_BYTES: usize = 4096;
/// What a commit needs beside the rows: inner pages, the allocator's state.
const COMMIT_BYTES: u64 = 256 * 1024;

/// Decides what belongs to this flush: everything applied, with the history up to there.
fn take_up(shared: &Shared) -> Result<Taken, Failure> {
    let writer = shared.writer.lock();
    spill(shared, &writer)?;
    let history = shared.segments.lock().choose_begin();
    let mut state = shared.state.write();
    let deltas = state.layers_mut().freeze();
    let before = &state.layers.base.meta;
    let meta = Meta {
        format: before.format,
        generation: before.generation,
        commit: before.commit + 1,
        progress: state.progress.clone().map(|progress| progress.0),
        history,
    };
    let sequence = state.sequence;
    drop(state);
    shared.control.taken_up();
    drop(writer);
    Ok(Taken {
        deltas,
        sequence,
        meta,
    })
}

/// Writes the events that are only in memory to the history's file, without a sync. The writer's
/// lock keeps others from adding more, so the file's end belongs to what is applied.
pub(crate) fn spill(shared: &Shared, _writer: &MutexGuard<'_, ()>) -> Result<(), Failure> {
    let events = shared.state.read().recent.unspilled();
    if events.is_empty() {
        return Ok(());
    }
    let mut segments = shared.segments.lock();
    let appended = segments.append(&events);
    let spilled = segments.position().events;
    drop(segments);
    let mut state = shared.state.write();
    state.recent.spilled(spilled);
    state.recent.trim(shared.recent_limit());
    appended.map_err(|error| {
        let text = format!("the history: {error}");
        if is_no_space(error.kind()) {
            Failure::NoSpace(text)
        } else {
            Failure::Lasting(text)
        }
    })
}

/// Opens the database again after a commit that failed for want of room: until then it refuses
/// reads too. Gives the new base if the commit turns out to have happened.
fn recover(
    shared: &Shared,
    database: &mut Database,
    meta: &Meta,
    error: CommitError,
) -> Result<Result<Base, crate::OpenError>, Failure> {
    let CommitError { failure, source } = error;
    if let Failure::Lasting(reason) = failure {
        return Err(Failure::Lasting(format!("{source} ({reason})")));
    }
    let reopened = database.reopened();
    *database = reopened.map_err(|error| Failure::Lasting(error.to_string()))?;
    let base = database.base();
    let base = base.map_err(|error| Failure::Lasting(error.to_string()))?;
    if base.meta == *meta {
        return Ok(Ok(base));
    }
    shared.state.read().layers.base.relink(&base);
    Err(failure)
}

//! What the writer, the flush thread and those who wait for them tell each other.
//!
//! Only figures, states and wake-ups; nobody writes anything here.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::backend::Failure;
use crate::error::FlushError;
use crate::options::Options;
use crate::state::Progress;
use crate::statistics::FlushFigures;

/// Whether the disk takes what it is given.
#[derive(Debug, Clone)]
enum Health {
    Good,
    /// Tried again at that time.
    Full {
        reason: String,
        retry_at: Instant,
        pause: Duration,
    },
    /// Not tried again.
    Failed(String),
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the flush thread shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Flush,
    Stop,
}

/// Memory that only a flush sets free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Rows neither in the database nor on their way.
    pub(crate) row_bytes: usize,
    /// Events not in the history's file.
    pub(crate) event_bytes: usize,
}

struct Inner {
    applied: u64,
    durable: u64,
    durable_progress: Option<Progress>,
    wanted: u64,
    /// When the oldest batch was applied that no flush has taken up.
    dirty_since: Option<Instant>,
    pending: Pending,
    health: Health,
    /// Flushes that failed, ever.
    failures: u64,
    is_stopping: bool,
    figures: FlushFigures,
}

pub(crate) struct Control {
    inner: Mutex<Inner>,
    /// For the flush thread.
    work: Condvar,
    /// For those who wait for it.
    done: Condvar,
    folder: PathBuf,
    flush_interval: Duration,
    flush_bytes: usize,
    limit: Pending,
}

impl Control {
    pub(crate) fn new(folder: &Path, options: &Options, durable: Option<Progress>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                applied: 0,
                durable: 0,
                durable_progress: durable,
                wanted: 0,
                dirty_since: None,
                pending: Pending::default(),
                health: Health::Good,
                failures: 0,
                is_stopping: false,
                figures: FlushFigures::default(),
            }),
            work: Condvar::new(),
            done: Condvar::new(),
            folder: folder.to_owned(),
            flush_interval: options.flush_interval,
            flush_bytes: options.flush_bytes(),
            limit: Pending {
                row_bytes: options.pending_bytes_max(),
                event_bytes: options.unspilled_bytes_max(),
            },
        }
    }

    fn is_room_beside(&self, pending: Pending) -> bool {
        pending.row_bytes < self.limit.row_bytes && pending.event_bytes < self.limit.event_bytes
    }

    /// An error if no batch will ever be applied again.
    pub(crate) fn may_apply(&self) -> Result<(), FlushError> {
        match &self.inner.lock().health {
            Health::Failed(reason) => Err(self.failed_error(reason)),
            Health::Good | Health::Full { .. } => Ok(()),
        }
    }

    fn has_room_or_failed(&self, inner: &Inner) -> bool {
        self.is_room_beside(inner.pending) || matches!(inner.health, Health::Failed(_))
    }

    /// Whether there is room for another batch, or never will be.
    pub(crate) fn has_room(&self) -> bool {
        self.has_room_or_failed(&self.inner.lock())
    }

    /// Waits until there is room for another batch, or never will be.
    pub(crate) fn wait_for_room(&self) {
        let mut inner = self.inner.lock();
        while !self.has_room_or_failed(&inner) {
            self.done.wait(&mut inner);
        }
    }

    /// A batch was applied; `all` counts what is on its way to the disk too.
    pub(crate) fn applied(&self, sequence: u64, pending: Pending, all: Pending) {
        let mut inner = self.inner.lock();
        inner.applied = sequence;
        // On a full disk nothing is on its way.
        let is_full = matches!(inner.health, Health::Full { .. });
        let pending = if is_full { all } else { pending };
        let was_due = inner.pending.row_bytes >= self.flush_bytes;
        inner.pending = pending;
        let is_first = inner.dirty_since.is_none();
        inner.dirty_since.get_or_insert_with(Instant::now);
        let is_due = pending.row_bytes >= self.flush_bytes;
        if is_first || (is_due && !was_due) || !self.is_room_beside(pending) {
            self.work.notify_one();
        }
    }

    /// A flush took up everything there is.
    pub(crate) fn taken_up(&self) {
        let mut inner = self.inner.lock();
        inner.dirty_since = None;
        // After a failure there is room only once a flush worked.
        if let Health::Good = inner.health {
            inner.pending = Pending::default();
            self.done.notify_all();
        }
    }

    /// What a flush took up is durable; `pending` is what was applied since.
    pub(crate) fn flushed(
        &self,
        sequence: u64,
        progress: Option<Progress>,
        took: Duration,
        pending: Pending,
    ) {
        let mut inner = self.inner.lock();
        inner.durable = sequence;
        inner.durable_progress = progress;
        if let Health::Full { .. } = inner.health {
            inner.health = Health::Good;
            inner.pending = pending;
        }
        inner.figures.add(took);
        self.done.notify_all();
    }

    /// A snapshot took the place of everything.
    pub(crate) fn installed(&self, sequence: u64, progress: Option<Progress>) {
        let mut inner = self.inner.lock();
        inner.applied = sequence;
        inner.durable = sequence;
        inner.durable_progress = progress;
        inner.dirty_since = None;
        inner.pending = Pending::default();
        if let Health::Full { .. } = inner.health {
            inner.health = Health::Good;
        }
        self.done.notify_all();
    }

    /// What was taken up, or should have been, stays in memory.
    pub(crate) fn failed(&self, failure: Failure, pending: Pending) {
        let mut inner = self.inner.lock();
        inner.failures += 1;
        inner.pending = pending;
        inner.dirty_since.get_or_insert_with(Instant::now);
        inner.health = match (&inner.health, failure) {
            (Health::Failed(reason), _) => Health::Failed(reason.clone()),
            (_, Failure::Lasting(reason)) => Health::Failed(reason),
            (health, Failure::NoSpace(reason)) => {
                let pause = match health {
                    Health::Full { pause, .. } => PAUSE_MAX.min(*pause * 2),
                    Health::Good | Health::Failed(_) => FIRST_PAUSE,
                };
                let retry_at = Instant::now() + pause;
                Health::Full {
                    reason,
                    retry_at,
                    pause,
                }
            }
        };
        self.done.notify_all();
    }

    /// Waits for the flush thread's next job. Nothing to do means no wake-up.
    pub(crate) fn next_job(&self) -> Job {
        let mut inner = self.inner.lock();
        loop {
            if inner.is_stopping {
                return Job::Stop;
            }
            match self.due(&inner) {
                None => self.work.wait(&mut inner),
                Some(due) if due <= Instant::now() => return Job::Flush,
                Some(due) => {
                    self.work.wait_until(&mut inner, due);
                }
            }
        }
    }

    fn due(&self, inner: &Inner) -> Option<Instant> {
        let since = inner.dirty_since?;
        let is_wanted = inner.wanted > inner.durable;
        let is_full = inner.pending.row_bytes >= self.flush_bytes;
        match &inner.health {
            Health::Failed(_) => None,
            Health::Full { retry_at, .. } => Some(*retry_at),
            Health::Good if is_wanted || is_full || !self.is_room_beside(inner.pending) => {
                Some(since)
            }
            Health::Good => Some(since + self.flush_interval),
        }
    }

    /// Asks for a flush and waits until everything up to a batch is durable. A full disk is
    /// reported at the first attempt that fails after this call.
    pub(crate) fn flush_up_to(&self, sequence: u64) -> Result<(), FlushError> {
        let mut inner = self.inner.lock();
        inner.wanted = inner.wanted.max(sequence);
        if let Health::Full { retry_at, .. } = &mut inner.health {
            *retry_at = Instant::now();
        }
        self.work.notify_one();
        let failures = inner.failures;
        while inner.durable < sequence {
            let has_failed = inner.failures > failures;
            match self.error(&inner.health) {
                Some(error @ FlushError::Failed { .. }) => return Err(error),
                Some(error @ FlushError::NoSpace { .. }) if has_failed => return Err(error),
                Some(FlushError::NoSpace { .. }) | None => {}
            }
            self.done.wait(&mut inner);
        }
        Ok(())
    }

    fn failed_error(&self, reason: &str) -> FlushError {
        FlushError::Failed {
            path: self.folder.clone(),
            reason: reason.to_owned(),
        }
    }

    fn error(&self, health: &Health) -> Option<FlushError> {
        match health {
            Health::Good => None,
            Health::Failed(reason) => Some(self.failed_error(reason)),
            Health::Full { reason, .. } => Some(FlushError::NoSpace {
                path: self.folder.clone(),
                reason: reason.clone(),
            }),
        }
    }

    /// What is wrong with the disk.
    pub(crate) fn trouble(&self) -> Option<FlushError> {
        self.error(&self.inner.lock().health)
    }

    /// Whether something applied is not durable, and a flush may be tried.
    pub(crate) fn is_worth_flushing(&self) -> bool {
        let inner = self.inner.lock();
        inner.applied > inner.durable && !matches!(inner.health, Health::Failed(_))
    }

    pub(crate) fn durable_progress(&self) -> Option<Progress> {
        self.inner.lock().durable_progress.clone()
    }

    pub(crate) fn figures(&self) -> FlushFigures {
        self.inner.lock().figures.clone()
    }

    pub(crate) fn stop(&self) {
        self.inner.lock().is_stopping = true;
        self.work.notify_one();
    }
}

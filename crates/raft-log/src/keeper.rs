//! The helper that prepares segments ahead of need and removes those that are no longer needed.
//!
//! It runs on a thread of its own, so that the writer never waits for zeros or for an unlink as
//! long as there is room. It does not decide when a segment is needed.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::Disk;
use crate::error::Failure;
use crate::format::Preamble;
use crate::options::Options;
use crate::segment::{self, Segment};

/// What is asked of the helper and what became of it.
enum Job {
    Idle,
    Wanted(Preamble),
    /// It has its room; a full disk cannot stop it any more.
    Promised,
    Ready(Arc<Segment>),
    /// The disk is full; it is tried again when it is due.
    NoRoom {
        preamble: Preamble,
        failure: Arc<Failure>,
        due: bool,
    },
    Failed(Arc<Failure>),
}

impl Job {
    /// What is to be prepared now.
    fn due(&self) -> Option<Preamble> {
        match self {
            Self::Wanted(preamble)
            | Self::NoRoom {
                preamble,
                due: true,
                ..
            } => Some(*preamble),
            _ => None,
        }
    }

    fn try_again(&mut self) {
        if let Self::NoRoom { due, .. } = self {
            *due = true;
        }
    }
}

struct Orders {
    job: Job,
    removals: Vec<Arc<Segment>>,
    /// The log is closing: nobody waits for room any more.
    draining: bool,
    /// The helper ends.
    closing: bool,
}

/// What the writer orders from the helper.
pub(crate) struct Keeper {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    retry_interval: Duration,
    bytes_min: u64,
    orders: Mutex<Orders>,
    changed: Condvar,
}

impl Keeper {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        options: &Options,
        spare: Option<Arc<Segment>>,
    ) -> Self {
        let orders = Orders {
            job: spare.map_or(Job::Idle, Job::Ready),
            removals: Vec::new(),
            draining: false,
            closing: false,
        };
        Self {
            disk,
            folder,
            retry_interval: options.retry_interval,
            bytes_min: options.first_segment_bytes,
            orders: Mutex::new(orders),
            changed: Condvar::new(),
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, orders: MutexGuard<'a, Orders>) -> MutexGuard<'a, Orders> {
        self.changed
            .wait(orders)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, job: Job) {
        self.orders().job = job;
        self.changed.notify_all();
    }

    /// Asks for a segment, unless one is ready or on its way.
    pub(crate) fn want(&self, number: u32, bytes: u64) {
        let mut orders = self.orders();
        if matches!(orders.job, Job::Idle) {
            orders.job = Job::Wanted(Preamble {
                number,
                bytes,
                salt: segment::new_salt(),
            });
            drop(orders);
            self.changed.notify_all();
        }
    }

    /// Waits until it is known whether there is room for the segment that was asked for.
    pub(crate) fn wait_for_answer(&self) {
        let mut orders = self.orders();
        while matches!(orders.job, Job::Wanted(_)) {
            orders = self.wait(orders);
        }
    }

    /// Waits for the segment that was asked for, also for room on the disk.
    pub(crate) fn take(&self) -> Result<Arc<Segment>, Arc<Failure>> {
        let mut orders = self.orders();
        loop {
            match std::mem::replace(&mut orders.job, Job::Idle) {
                Job::Ready(segment) => return Ok(segment),
                Job::Failed(failure) => {
                    orders.job = Job::Failed(failure.clone());
                    return Err(failure);
                }
                Job::NoRoom { failure, .. } if orders.draining => return Err(failure),
                other => orders.job = other,
            }
            orders = self.wait(orders);
        }
    }

    /// Removes segments, some time.
    pub(crate) fn remove(&self, segments: Vec<Arc<Segment>>) {
        if !segments.is_empty() {
            self.orders().removals.extend(segments);
            self.changed.notify_all();
        }
    }

    /// Whether the next segment is held up by a full disk.
    pub(crate) fn has_no_room(&self) -> bool {
        matches!(self.orders().job, Job::NoRoom { .. })
    }

    /// From now on [`take`](Self::take) does not wait for room.
    pub(crate) fn drain(&self) {
        self.orders().draining = true;
        self.changed.notify_all();
    }

    /// Ends [`run`](Self::run).
    pub(crate) fn close(&self) {
        self.orders().closing = true;
        self.changed.notify_all();
    }

    /// The helper's thread.
    pub(crate) fn run(&self) {
        let mut orders = self.orders();
        loop {
            if !orders.removals.is_empty() {
                let segments = std::mem::take(&mut orders.removals);
                drop(orders);
                self.remove_now(&segments);
                orders = self.orders();
                orders.job.try_again();
            } else if orders.closing {
                return;
            } else if let Some(preamble) = orders.job.due() {
                drop(orders);
                self.prepare(preamble);
                orders = self.orders();
            } else if matches!(orders.job, Job::NoRoom { .. }) {
                let wait = self.changed.wait_timeout(orders, self.retry_interval);
                let (guard, waited) = wait.unwrap_or_else(PoisonError::into_inner);
                orders = guard;
                if waited.timed_out() {
                    orders.job.try_again();
                }
            } else {
                orders = self.wait(orders);
            }
        }
    }

    /// While it tries again, `NoRoom` stands until there is room: nobody sees room that is not there.
    fn prepare(&self, preamble: Preamble) {
        let allocated = || self.set(Job::Promised);
        let stop = || self.orders().closing;
        let prepared =
            segment::prepare(self.disk.as_ref(), &self.folder, preamble, allocated, stop);
        self.set(match prepared {
            Ok(Some(segment)) => Job::Ready(Arc::new(segment)),
            Ok(None) => Job::Wanted(preamble),
            // There may be room for a smaller one.
            Err(failure) if failure.is_full_disk() && preamble.bytes > self.bytes_min => {
                let bytes = (preamble.bytes / 2).max(self.bytes_min);
                Job::Wanted(Preamble { bytes, ..preamble })
            }
            Err(failure) if failure.is_full_disk() => Job::NoRoom {
                preamble,
                failure: Arc::new(failure),
                due: false,
            },
            Err(failure) => Job::Failed(Arc::new(failure)),
        });
    }

    /// A segment that stays is removed when the log is opened next: no reason to fail.
    fn remove_now(&self, segments: &[Arc<Segment>]) {
        for segment in segments {
            let _ = self.disk.remove(&segment.path);
        }
        let _ = self.disk.sync_folder(&self.folder);
    }
}

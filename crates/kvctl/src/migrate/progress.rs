//! A line on standard error now and then.
//!
//! It judges nothing.
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);

/// What was done so far.
#[derive(Debug)]
pub(super) struct Progress {
    copied: u64,
    unchanged: u64,
    followed: u64,
    /// The last revision, or index, of the source that was carried over.
    position: u64,
    shown: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            copied: 0,
            unchanged: 0,
            followed: 0,
            position: 0,
            shown: Instant::now(),
        }
    }

    /// A key was copied, or was there already.
    pub(super) fn copied(&mut self, is_new: bool) {
        if is_new {
            self.copied += 1;
        } else {
            self.unchanged += 1;
        }
        self.show_sometimes();
    }

    /// A change was carried over.
    pub(super) fn followed(&mut self, position: u64) {
        self.followed += 1;
        self.position = position;
        self.show_sometimes();
    }

    fn show_sometimes(&mut self) {
        if self.shown.elapsed() >= INTERVAL {
            self.show();
        }
    }

    pub(super) fn show(&mut self) {
        self.shown = Instant::now();
        let Self {
            copied,
            unchanged,
            followed,
            position,
            ..
        } = self;
        eprintln!(
            "copied {copied} keys, {unchanged} were there already; followed {followed} changes up to {position}"
        );
    }
}

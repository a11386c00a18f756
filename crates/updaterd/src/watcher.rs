//! Whoever is told how far an update is: the terminal, or the readers of a D-Bus property.
//!
//! Does not decide what is worth telling.

use std::fmt::Debug;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// How far something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is done now, as the beginning of a sentence.
    pub phase: String,
    /// How much of it is done; the unit depends on the phase.
    pub done: u64,
    /// How much there is to do; 0 if that is not known.
    pub total: u64,
}

/// Is told.
pub trait Watcher: Debug + Sync {
    /// Something else is done now, or more of it is.
    fn progress(&self, progress: Progress);

    /// Something else is done now, and how much there is of it is not known.
    fn phase(&self, phase: &str) {
        self.progress(Progress {
            phase: phase.to_owned(),
            done: 0,
            total: 0,
        });
    }
}

/// Prints each phase once, on standard error, with percents if that is a terminal.
#[derive(Debug, Default)]
pub struct TerminalWatcher {
    last: Mutex<Progress>,
}

impl Watcher for TerminalWatcher {
    fn progress(&self, progress: Progress) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut error = std::io::stderr().lock();
        let is_new = last.phase != progress.phase;
        // A terminal that goes away does not stop an update.
        if error.is_terminal() && progress.total > 0 {
            let end = if progress.done >= progress.total {
                "\n"
            } else {
                ""
            };
            let percent = progress.done.saturating_mul(100) / progress.total;
            let _ = write!(error, "\r{} {percent} %{end}", progress.phase);
        } else if is_new {
            let _ = writeln!(error, "{}", progress.phase);
        }
        *last = progress;
    }
}

/// Keeps the last progress for whoever asks.
#[derive(Debug, Default)]
pub struct SharedWatcher {
    last: Mutex<Progress>,
}

impl SharedWatcher {
    /// The last progress.
    pub fn last(&self) -> Progress {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Watcher for SharedWatcher {
    fn progress(&self, progress: Progress) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

//! Whoever is told how far an update is: the terminal, or the readers of D-Bus properties.
//!
//! Does not decide what is worth telling.

use std::fmt::Debug;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
pub use update_model::progress_line::Progress;

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

/// Prints each phase once, on standard error, with a bar if that is a terminal.
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
            let _ = write!(error, "\r{progress}{end}");
        } else if is_new {
            let _ = writeln!(error, "{}", progress.phase);
        }
        *last = progress;
    }
}

/// Keeps the last progress for whoever asks, or waits for the next.
#[derive(Debug, Default)]
pub struct SharedWatcher {
    last: watch::Sender<Progress>,
}

impl SharedWatcher {
    /// The last progress.
    pub fn last(&self) -> Progress {
        self.last.borrow().clone()
    }

    /// Sees each progress from now on that is not followed by another before it looks.
    pub fn follow(&self) -> watch::Receiver<Progress> {
        self.last.subscribe()
    }
}

impl Watcher for SharedWatcher {
    fn progress(&self, progress: Progress) {
        self.last.send_replace(progress);
    }
}

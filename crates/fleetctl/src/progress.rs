//! What long work has come to, on standard error, if that is a terminal.
//!
//! It says nothing otherwise: logs and scripts see results only.

use std::io::{self, IsTerminal, Write};

/// A line that is written over and over.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
    last: String,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            is_shown: io::stderr().is_terminal(),
            last: String::new(),
        }
    }

    /// Shows another state of things.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if !self.is_shown {
            return;
        }
        let text = text();
        if text != self.last {
            write(&format!("\r\x1b[K{text}"));
            self.last = text;
        }
    }

    /// Takes the line away, so that a result can be printed.
    pub(crate) fn clear(&mut self) {
        if !self.last.is_empty() {
            write("\r\x1b[K");
            self.last.clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A terminal that is gone is no reason to stop.
fn write(text: &str) {
    let mut out = io::stderr().lock();
    let _written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

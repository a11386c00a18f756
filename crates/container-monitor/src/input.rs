//! What a process reads: the end of a pipe or of a terminal that the monitor writes.
//!
//! Never waits: what the process does not take yet is kept, and whoever sends more waits.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::reading::never_wait;

/// Bytes that are kept; a frame may come on top.
const KEPT_MAX: usize = 64 * 1024;

/// The writing end.
#[derive(Debug)]
pub(crate) struct Input {
    /// None once nobody reads, or it was closed.
    file: Option<File>,
    kept: VecDeque<u8>,
    end: End,
}

/// Whether a client may end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// A terminal has no end.
    Never,
    /// Not yet.
    NotAsked,
    /// After what is kept.
    Asked,
}

impl Input {
    /// A pipe, with the end that the process gets.
    pub(crate) fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (reading, writing): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC)?;
        never_wait(&writing)?;
        Ok((Self::new(writing.into(), End::NotAsked), reading))
    }

    /// A terminal, by its master's side, which does not wait already.
    pub(crate) fn terminal(master: File) -> Self {
        Self::new(master, End::Never)
    }

    fn new(file: File, end: End) -> Self {
        Self {
            file: Some(file),
            kept: VecDeque::new(),
            end,
        }
    }

    /// Whether more is to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= KEPT_MAX
    }

    /// What is waited on, if something is kept.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let file = self.file.as_ref().filter(|_| !self.kept.is_empty());
        file.map(AsFd::as_fd)
    }

    /// Takes what a client sent; nothing is the end.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if self.file.is_none() || self.end == End::Asked {
            return;
        }
        if bytes.is_empty() && self.end == End::NotAsked {
            self.end = End::Asked;
        }
        self.kept.extend(bytes);
        self.flush();
    }

    /// Passes on what is kept, as far as it is taken.
    pub(crate) fn flush(&mut self) {
        while let Some(file) = self.file.as_mut().filter(|_| !self.kept.is_empty()) {
            match file.write(self.kept.as_slices().0) {
                Ok(count) => {
                    self.kept.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more.
                Err(_) => self.file = None,
            }
        }
        self.kept = VecDeque::new();
        if self.end == End::Asked {
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_not_taken_is_kept_in_order_and_then_it_ends() {
        let (mut input, reading) = Input::pipe().unwrap();
        let sent: Vec<u8> = (0..300_000_u32)
            .map(|number| (number % 251) as u8)
            .collect();
        for piece in sent.chunks(50_000) {
            input.take(piece);
        }
        input.take(b"");
        input.take(b"too late");
        assert!(input.is_full() && input.descriptor().is_some());
        let mut reading = File::from(reading);
        let mut found = Vec::new();
        let mut buffer = [0; 9000];
        loop {
            input.flush();
            match reading.read(&mut buffer).unwrap() {
                0 => break,
                count => found.extend_from_slice(&buffer[..count]),
            }
        }
        assert_eq!(found, sent);
        assert!(!input.is_full() && input.descriptor().is_none());
    }

    #[test]
    fn what_nobody_reads_is_dropped() {
        let (mut input, reading) = Input::pipe().unwrap();
        drop(reading);
        input.take(b"a");
        assert!(input.descriptor().is_none());
        input.take(&vec![0; KEPT_MAX]);
        assert!(!input.is_full());
    }
}

//! What the payload writes: pipes that the monitor reads and the journal gets.
//!
//! With inherited output there are no pipes, and the monitor sees none of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::journal::{Journal, Stream};
use crate::lines::Lines;

/// The reading end of one stream.
#[derive(Debug)]
pub(crate) struct Pipe {
    stream: Stream,
    /// None once its writers are gone.
    file: Option<File>,
    lines: Lines,
}

impl Pipe {
    /// A pipe, with the end that the payload gets.
    pub(crate) fn new(stream: Stream) -> io::Result<(Self, Stdio)> {
        let (reading, writing): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setfl(&reading, fcntl_getfl(&reading)? | OFlags::NONBLOCK)?;
        let pipe = Self {
            stream,
            file: Some(reading.into()),
            lines: Lines::default(),
        };
        Ok((pipe, writing.into()))
    }

    /// What is waited on, while there is somebody who writes.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Passes on what is there.
    pub(crate) fn forward(&mut self, journal: &Journal) {
        let mut buffer = [0; 16 * 1024];
        while let Some(file) = &mut self.file {
            match file.read(&mut buffer) {
                Ok(0) => self.file = None,
                Ok(count) => {
                    let stream = self.stream;
                    self.lines
                        .take(&buffer[..count], |line| journal.write(stream, line));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.file = None,
            }
        }
        self.finish(journal);
    }

    /// Passes on the line that nobody ended.
    pub(crate) fn finish(&mut self, journal: &Journal) {
        let stream = self.stream;
        self.lines.finish(|line| journal.write(stream, line));
    }
}

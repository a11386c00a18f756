//! What a process writes: the end of a pipe or of a terminal that the monitor reads.
//!
//! Never waits. What is done with the bytes is the caller's.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor_protocol::WindowSize;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::journal::Stream;

/// Bytes that are read at once.
pub(crate) const BUFFER: usize = 16 * 1024;

/// The reading end of one stream.
#[derive(Debug)]
pub(crate) struct Reading {
    stream: Stream,
    /// None once its writers are gone.
    file: Option<File>,
    /// Of a terminal: the payload's side, held open so that a payload may close and open it again.
    peer: Option<OwnedFd>,
}

/// Reading and writing it never waits.
pub(crate) fn never_wait(file: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&file)? | OFlags::NONBLOCK;
    Ok(fcntl_setfl(&file, flags)?)
}

fn peer(master: &File) -> io::Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    Ok(ioctl_tiocgptpeer(master, flags)?)
}

impl Reading {
    /// A pipe, with the end that the process gets.
    pub(crate) fn pipe(stream: Stream) -> io::Result<(Self, OwnedFd)> {
        let (reading, writing): (OwnedFd, OwnedFd) = pipe_with(PipeFlags::CLOEXEC)?;
        never_wait(&reading)?;
        let reading = Self {
            stream,
            file: Some(reading.into()),
            peer: None,
        };
        Ok((reading, writing))
    }

    /// A terminal, by its master's side.
    pub(crate) fn terminal(master: File) -> io::Result<Self> {
        never_wait(&master)?;
        Ok(Self {
            stream: Stream::Output,
            peer: Some(peer(&master)?),
            file: Some(master),
        })
    }

    pub(crate) fn stream(&self) -> Stream {
        self.stream
    }

    /// What is waited on, while there is somebody who writes.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// What is there, if anything is.
    pub(crate) fn read<'a>(&mut self, buffer: &'a mut [u8; BUFFER]) -> Option<&'a [u8]> {
        loop {
            let file = self.file.as_mut()?;
            match file.read(buffer) {
                Ok(0) => self.file = None,
                Ok(count) => return Some(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                // It was hung up, by a login program for instance, and is not over for that.
                Err(error) if is_hang_up(&error) && self.peer.is_some() => {
                    self.peer = peer(file).ok();
                    return None;
                }
                Err(_) => self.file = None,
            }
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.peer.is_some()
    }

    /// If it is a terminal: it has another size.
    pub(crate) fn resize(&self, size: WindowSize) -> io::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| self.peer.is_some()) else {
            return Ok(());
        };
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(file, size)?)
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::pty::{grantpt, openpt, unlockpt};
    use rustix::termios::tcgetwinsize;

    use super::*;

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (mut reading, writing) = Reading::pipe(Stream::Error).unwrap();
        let mut buffer = [0; BUFFER];
        assert_eq!(reading.read(&mut buffer), None);
        let mut file = File::from(writing);
        file.write_all(b"a").unwrap();
        assert_eq!(reading.read(&mut buffer), Some(&b"a"[..]));
        assert!(reading.descriptor().is_some());
        drop(file);
        assert_eq!(reading.read(&mut buffer), None);
        assert!(reading.descriptor().is_none());
    }

    #[test]
    fn a_terminal_is_not_over_when_it_is_closed() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let master = File::from(master);
        let mut reading = Reading::terminal(master.try_clone().unwrap()).unwrap();
        let mut buffer = [0; BUFFER];
        for text in ["a", "b"] {
            let mut writer = File::from(peer(&master).unwrap());
            writer.write_all(text.as_bytes()).unwrap();
            drop(writer);
            assert_eq!(reading.read(&mut buffer), Some(text.as_bytes()));
            assert_eq!(reading.read(&mut buffer), None);
        }
        let size = WindowSize {
            rows: 7,
            columns: 40,
        };
        reading.resize(size).unwrap();
        let seen = tcgetwinsize(&master).unwrap();
        assert_eq!((seen.ws_row, seen.ws_col), (7, 40));
    }
}

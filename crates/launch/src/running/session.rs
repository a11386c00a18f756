//! A terminal or pipes of the user's, joined to a process in a container.
//!
//! Both directions go on at once, so neither waits for the other. The terminal is as it was before afterwards.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context as _;
use monitor_protocol::detach_keys::Typed;
use monitor_protocol::frame::{self, Kind};
use monitor_protocol::message::{Event, FromMonitor};
use monitor_protocol::{Answer, DetachKeys, Exit, Request, WindowSize};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};

use super::connection::{BUFFER, Connection};

/// How it is joined.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    /// Whether the standard input is passed on.
    pub(crate) has_input: bool,
    /// Whether the process has a terminal.
    pub(crate) has_terminal: bool,
    /// Whether signals are passed on, instead of ending this.
    pub(crate) passes_signals: bool,
    /// What it is joined to.
    pub(crate) subject: Subject,
    /// By which the terminal is left.
    pub(crate) keys: DetachKeys,
}

/// A process in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The container's own.
    Payload,
    /// One that was executed: it would end when it is left without a word.
    Execution,
}

/// How it came to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The process ended.
    Exited(Exit),
    /// The user left it.
    Detached,
    /// The monitor is gone, and said nothing.
    Closed,
}

/// The user's terminal while keys go through it as they are; as before when this is dropped.
struct Raw(Termios);

impl Raw {
    fn make() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The size of the user's terminal, if there is one.
pub(crate) fn window_size() -> Option<WindowSize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

struct Session<'a> {
    connection: &'a mut Connection,
    joined: &'a mut Joined,
    /// Whether there may be more input.
    is_open: bool,
    /// What the monitor did not take yet.
    outgoing: Vec<u8>,
}

/// Joins them until one of them ends.
pub(crate) fn join(connection: &mut Connection, joined: &mut Joined) -> anyhow::Result<End> {
    let (wake, waker) = std::os::unix::net::UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    for signal in [SIGWINCH, SIGINT, SIGTERM, SIGQUIT, SIGHUP] {
        let waker = waker.try_clone()?;
        // The byte says which one.
        let byte = u8::try_from(signal)?;
        register(signal, waker, byte, joined)?;
    }
    connection.stream.set_nonblocking(true)?;
    let is_raw = joined.has_terminal && joined.has_input && isatty(io::stdin());
    let raw = is_raw.then(Raw::make).transpose().context("the terminal")?;
    let is_open = joined.has_input;
    let mut session = Session {
        connection,
        joined,
        is_open,
        outgoing: Vec::new(),
    };
    if session.joined.has_terminal {
        session.resize();
    }
    let end = session.go_on(&wake);
    drop(raw);
    end
}

/// Signals that nobody passes on end this program as ever.
fn register(
    signal: i32,
    waker: std::os::unix::net::UnixStream,
    byte: u8,
    joined: &Joined,
) -> anyhow::Result<()> {
    if signal != SIGWINCH && !joined.passes_signals {
        return Ok(());
    }
    waker.set_nonblocking(true)?;
    let mut signals = signal_hook::iterator::Signals::new([signal])?;
    // A thread, since only this tells which signal it was; it ends with the program.
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if (&waker).write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    Ok(())
}

impl Session<'_> {
    fn go_on(&mut self, wake: &std::os::unix::net::UnixStream) -> anyhow::Result<End> {
        loop {
            while let Some(message) = self.connection.received()? {
                if let Some(end) = take(message)? {
                    return Ok(end);
                }
            }
            self.flush();
            let ready = self.wait(wake)?;
            if ready.signal {
                self.signals(wake);
            }
            if ready.monitor && !self.connection.read()? {
                return Ok(End::Closed);
            }
            if ready.input && self.input()? {
                self.flush();
                return Ok(End::Detached);
            }
        }
    }

    fn wait(&self, wake: &std::os::unix::net::UnixStream) -> anyhow::Result<Ready> {
        let stdin = io::stdin();
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, !self.outgoing.is_empty());
        let mut waited = vec![
            PollFd::new(wake, PollFlags::IN),
            PollFd::new(&self.connection.stream, flags),
        ];
        // No more is read than the process takes.
        if self.is_open && self.outgoing.is_empty() {
            waited.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut waited, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |at: usize, flags: PollFlags| {
            let came = waited.get(at).map(PollFd::revents);
            came.is_some_and(|came| came.intersects(flags | PollFlags::HUP | PollFlags::ERR))
        };
        Ok(Ready {
            signal: is_ready(0, PollFlags::IN),
            monitor: is_ready(1, PollFlags::IN),
            input: is_ready(2, PollFlags::IN),
        })
    }

    fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            match self.connection.stream.write(&self.outgoing) {
                Ok(count) => {
                    self.outgoing.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The monitor is gone; what it said last is still to be read.
                Err(_) => self.outgoing.clear(),
            }
        }
    }

    /// Passes on what the user gave. Gives back whether they leave.
    fn input(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; BUFFER];
        let count = match read_from(io::stdin().as_fd(), &mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(error).context("the standard input"),
        };
        if count == 0 {
            self.is_open = false;
            self.outgoing.extend(frame::encode(Kind::Input, b""));
            return Ok(false);
        }
        let typed = if self.joined.has_terminal {
            self.joined.keys.take(&buffer[..count])
        } else {
            Typed::Input(buffer[..count].to_vec())
        };
        let (bytes, leaves) = match typed {
            Typed::Input(bytes) => (bytes, false),
            Typed::Detached(bytes) => (bytes, true),
        };
        if !bytes.is_empty() {
            self.outgoing.extend(frame::encode(Kind::Input, &bytes));
        }
        if leaves && self.joined.subject == Subject::Execution {
            self.outgoing.extend(Request::Detach.encode());
        }
        Ok(leaves)
    }

    fn signals(&mut self, mut wake: &std::os::unix::net::UnixStream) {
        let mut bytes = [0; 16];
        let count = wake.read(&mut bytes).unwrap_or(0);
        for byte in &bytes[..count] {
            match i32::from(*byte) {
                SIGWINCH if self.joined.has_terminal => self.resize(),
                SIGWINCH => {}
                signal => self.outgoing.extend(Request::Kill { signal }.encode()),
            }
        }
    }

    fn resize(&mut self) {
        if let Some(size) = window_size() {
            self.outgoing.extend(Request::Resize(size).encode());
        }
    }
}

/// What there is something to do for.
struct Ready {
    signal: bool,
    monitor: bool,
    input: bool,
}

/// Not through a buffer, which would keep what `poll` is asked about.
fn read_from(descriptor: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(descriptor, buffer)?)
}

fn take(message: FromMonitor) -> anyhow::Result<Option<End>> {
    match message {
        FromMonitor::Output(bytes) => write(&mut io::stdout().lock(), &bytes)?,
        FromMonitor::Error(bytes) => write(&mut io::stderr().lock(), &bytes)?,
        FromMonitor::Event(Event::Exited(exit)) => return Ok(Some(End::Exited(exit))),
        FromMonitor::Event(Event::Lost { bytes }) => {
            eprintln!(
                "launch: {bytes} bytes of output were not taken in time, and are missing here"
            );
        }
        FromMonitor::Answer(Answer::Failed(failure)) => {
            // A terminal may just be gone.
            eprintln!("launch: {failure}\r");
        }
        FromMonitor::Answer(_) | FromMonitor::Event(Event::Status(_)) => {}
    }
    Ok(None)
}

fn write(to: &mut impl io::Write, bytes: &[u8]) -> anyhow::Result<()> {
    let mut written = to.write_all(bytes);
    if written.is_ok() {
        written = to.flush();
    }
    written.context("the output")
}

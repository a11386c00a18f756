//! The user's terminal as the console of a machine, for `keelson run`.
//!
//! On a terminal, every key goes to the guest, Ctrl-C too: the terminal is in raw mode until the
//! session ends, however it ends. Ctrl-A x ends it, and only that sequence is not passed on. When
//! standard input is no terminal its bytes go to the guest as they are, and its end ends nothing.
//! Sizes of terminals are not told: a serial console cannot.

use crate::{QemuError, Running, interrupt, sync::lock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::io;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::Duration;

const CONTROL_A: u8 = 0x01;
/// How soon a signal or the machine's end is noticed.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How long QEMU may take to end once it closed the console.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings that the terminal had before it was put in raw mode.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Why a session on a terminal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalEnd {
    /// The user typed Ctrl-A x, or closed the terminal; the machine still runs.
    Quit,
    /// The machine ended by itself.
    Exited(ExitStatus),
    /// A signal told this process to end, see [`interrupt::install`]; the machine was killed.
    Interrupted {
        /// The number of the signal.
        signal: i32,
    },
}

impl Running {
    /// Connects standard input and output with the serial console until the session ends, and
    /// first shows what the guest has printed so far.
    pub fn attach_terminal(&mut self) -> Result<TerminalEnd, QemuError> {
        let raw_mode = RawMode::enter()?;
        self.console().mirror(Box::new(io::stdout()));
        let end = self.converse(match raw_mode {
            Some(_) => Input::Terminal(EscapeFilter::Passing),
            None => Input::Stream,
        });
        self.console().end_mirror();
        drop(raw_mode);
        end
    }

    fn converse(&mut self, mut input: Input) -> Result<TerminalEnd, QemuError> {
        loop {
            if let Some(signal) = interrupt::received() {
                return Ok(TerminalEnd::Interrupted { signal });
            }
            let patience = match input {
                Input::Closed => CHECK_INTERVAL,
                Input::Terminal(_) | Input::Stream => Duration::ZERO,
            };
            if self.console().wait_ended(patience) {
                return self.ended();
            }
            if let Some(bytes) = input.read()? {
                // A failure to type means that the machine has ended, which is seen next.
                let _ = self.console().write(&bytes.for_guest);
                if bytes.quit {
                    return Ok(TerminalEnd::Quit);
                }
            }
        }
    }

    fn ended(&mut self) -> Result<TerminalEnd, QemuError> {
        match self.wait_exit(EXIT_TIMEOUT) {
            Ok(status) => Ok(TerminalEnd::Exited(status)),
            Err(QemuError::Interrupted { signal }) => Ok(TerminalEnd::Interrupted { signal }),
            Err(error) => Err(error),
        }
    }
}

/// Standard input.
enum Input {
    Terminal(EscapeFilter),
    Stream,
    Closed,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Typed {
    for_guest: Vec<u8>,
    quit: bool,
}

impl Input {
    /// What was typed, if anything was within the check interval.
    fn read(&mut self) -> Result<Option<Typed>, QemuError> {
        if matches!(self, Self::Closed) || !is_readable()? {
            return Ok(None);
        }
        let mut buffer = [0; 1024];
        let length = match rustix::io::read(io::stdin(), &mut buffer) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(None),
            // A terminal that was closed answers with an error, which is an end like any other.
            Err(_) => 0,
            Ok(length) => length,
        };
        let bytes = &buffer[..length];
        Ok(Some(match self {
            Self::Terminal(filter) if length > 0 => filter.pass(bytes),
            Self::Terminal(_) => Typed {
                quit: true,
                ..Typed::default()
            },
            Self::Stream | Self::Closed => {
                if length == 0 {
                    *self = Self::Closed;
                }
                Typed {
                    for_guest: bytes.to_vec(),
                    quit: false,
                }
            }
        }))
    }
}

fn is_readable() -> Result<bool, QemuError> {
    let stdin = io::stdin();
    let interval = Timespec::try_from(CHECK_INTERVAL).ok();
    let mut descriptors = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut descriptors, interval.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(terminal("read from", error)),
    }
}

/// Looks for Ctrl-A x in what is typed.
#[derive(Debug, PartialEq, Eq)]
enum EscapeFilter {
    Passing,
    /// Ctrl-A came and was held back.
    Escaped,
}

impl EscapeFilter {
    fn pass(&mut self, bytes: &[u8]) -> Typed {
        let mut typed = Typed::default();
        for &byte in bytes {
            match (&self, byte) {
                (Self::Passing, CONTROL_A) => *self = Self::Escaped,
                (Self::Passing, _) => typed.for_guest.push(byte),
                (Self::Escaped, b'x' | b'X') => {
                    typed.quit = true;
                    return typed;
                }
                (Self::Escaped, CONTROL_A) => {
                    // Typed twice it is passed once, as QEMU does.
                    typed.for_guest.push(CONTROL_A);
                    *self = Self::Passing;
                }
                (Self::Escaped, _) => {
                    typed.for_guest.extend([CONTROL_A, byte]);
                    *self = Self::Passing;
                }
            }
        }
        typed
    }
}

/// The terminal's raw mode, until it is dropped.
struct RawMode;

impl RawMode {
    /// Enters raw mode, if standard input is a terminal.
    fn enter() -> Result<Option<Self>, QemuError> {
        let stdin = io::stdin();
        if !isatty(&stdin) {
            return Ok(None);
        }
        let saved = tcgetattr(&stdin).map_err(|error| terminal("ask", error))?;
        let mut raw = saved.clone();
        raw.make_raw();
        *lock(&SAVED) = Some(saved);
        tcsetattr(&stdin, OptionalActions::Now, &raw)
            .map_err(|error| terminal("set the mode of", error))?;
        Ok(Some(Self))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back the settings it had, if they were changed.
pub(crate) fn restore() {
    if let Some(saved) = lock(&SAVED).take() {
        // The terminal may be gone, and then nobody misses its settings.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &saved);
    }
}

fn terminal(operation: &'static str, error: Errno) -> QemuError {
    QemuError::Terminal {
        operation,
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(chunks: &[&[u8]]) -> Typed {
        let mut filter = EscapeFilter::Passing;
        let mut all = Typed::default();
        for chunk in chunks {
            let typed = filter.pass(chunk);
            all.for_guest.extend(typed.for_guest);
            all.quit |= typed.quit;
        }
        all
    }

    #[test]
    fn only_control_a_x_quits() {
        assert_eq!(typed(&[b"ls\x01x", b""]).for_guest, b"ls");
        assert!(typed(&[b"ls\x01", b"x"]).quit);
        assert!(!typed(&[b"x\x03"]).quit);
    }

    #[test]
    fn everything_else_reaches_the_guest() {
        assert_eq!(typed(&[b"\x03\x1b[A"]).for_guest, b"\x03\x1b[A");
        assert_eq!(typed(&[b"\x01e"]).for_guest, b"\x01e");
        assert_eq!(typed(&[b"\x01\x01x"]).for_guest, b"\x01x");
    }
}

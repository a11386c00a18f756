//! A machine's console: a pseudo terminal here, `/dev/console` there.
//!
//! It does not look at what passes through.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::QemuError;

/// How long to wait when nobody has the other end open: systemd closes its console after each use.
const CLOSED_INTERVAL: Duration = Duration::from_millis(10);

/// A pseudo terminal whose both ways lead through a socket.
#[derive(Debug)]
pub(super) struct PseudoTerminal {
    /// The end that becomes `/dev/console`.
    pub(super) path: PathBuf,
    ended: Arc<AtomicBool>,
}

impl PseudoTerminal {
    /// Opens one; the socket gets what the machine writes, and takes what is typed.
    pub(super) fn open() -> Result<(Self, UnixStream), QemuError> {
        let failed = |error: rustix::io::Errno| QemuError::Terminal {
            operation: "open a pseudo terminal as",
            source: error.into(),
        };
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .map_err(failed)?;
        grantpt(&ours).map_err(failed)?;
        unlockpt(&ours).map_err(failed)?;
        let name = ptsname(&ours, Vec::new()).map_err(failed)?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        let socket = |source| QemuError::Terminal {
            operation: "connect to",
            source,
        };
        let (near, far) = UnixStream::pair().map_err(socket)?;
        let typed = far.try_clone().map_err(socket)?;
        let ended = Arc::new(AtomicBool::new(false));
        let input = ours.try_clone().map_err(socket)?;
        let flag = ended.clone();
        thread::spawn(move || pump_output(ours, far, &flag));
        thread::spawn(move || pump_input(typed, input));
        Ok((Self { path, ended }, near))
    }

    /// Nothing comes any more: the socket ends once everything was read.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl Drop for PseudoTerminal {
    fn drop(&mut self) {
        self.end();
    }
}

fn pump_output(terminal: OwnedFd, mut socket: UnixStream, ended: &AtomicBool) {
    let mut terminal = File::from(terminal);
    let mut buffer = [0; 4096];
    loop {
        match terminal.read(&mut buffer) {
            Ok(length) if length > 0 => {
                if socket.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EIO: the other end is closed, for now or for ever.
            _ if ended.load(Ordering::SeqCst) => break,
            _ => thread::sleep(CLOSED_INTERVAL),
        }
    }
    // The reader sees the end, although the input's half is still open.
    let _closed = socket.shutdown(std::net::Shutdown::Both);
}

fn pump_input(mut socket: UnixStream, terminal: OwnedFd) {
    let mut terminal = File::from(terminal);
    let _ended = std::io::copy(&mut socket, &mut terminal);
}

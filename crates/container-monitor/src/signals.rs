//! The signals that the monitor gets: a descriptor that wakes the loop, and which ones came.
//!
//! Sends none.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
    SIGWINCH,
};

/// What is passed on to the payload; SIGTERM becomes its stop signal.
const FORWARDED: &[i32] = &[
    SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH,
];

/// Signals that are caught.
#[derive(Debug)]
pub(crate) struct Signals {
    wake: UnixStream,
    came: Vec<(i32, Arc<AtomicBool>)>,
}

impl Signals {
    /// From now on none of them ends the monitor.
    pub(crate) fn catch() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let mut came = Vec::new();
        for signal in FORWARDED.iter().copied().chain([SIGCHLD]) {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: who is woken must see it.
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
            if signal != SIGCHLD {
                came.push((signal, flag));
            }
        }
        // Whoever reads the monitor's output may be gone; the payload is not to end of that.
        signal_hook::flag::register(SIGPIPE, Arc::new(AtomicBool::new(false)))?;
        Ok(Self { wake, came })
    }

    /// What is waited on.
    pub(crate) fn wake(&self) -> &UnixStream {
        &self.wake
    }

    /// Those that came since it was last asked.
    pub(crate) fn take(&mut self) -> Vec<i32> {
        let mut buffer = [0; 64];
        while matches!(self.wake.read(&mut buffer), Ok(count) if count == buffer.len()) {}
        let came = self.came.iter();
        came.filter(|(_, flag)| flag.swap(false, Ordering::AcqRel))
            .map(|(signal, _)| *signal)
            .collect()
    }
}

//! The life of one container: created, started, watched, over.
//!
//! One loop waits for everything at once.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal,
    set_child_subreaper, wait,
};
use signal_hook::consts::SIGTERM;

use crate::arguments::{Arguments, Output, Readiness};
use crate::exit::Ending;
use crate::journal::{Journal, Stream};
use crate::notify::{self, Proxy};
use crate::output::Pipe;
use crate::runtime;
use crate::signals::Signals;

/// What survives longest when memory is short is who can say that it was short.
const OOM_SCORE: &str = "-900";

/// Runs the container to its end.
pub(crate) fn run(arguments: &Arguments) -> Ending {
    let ending = match Monitor::start(arguments) {
        Ok(monitor) => monitor.watch(),
        Err(ending) => ending,
    };
    runtime::delete(arguments);
    ending
}

struct Monitor<'a> {
    arguments: &'a Arguments,
    signals: Signals,
    proxy: Proxy,
    output: Option<(Journal, [Pipe; 2])>,
    payload: Pid,
    /// Names the payload even if its number is given to another.
    handle: OwnedFd,
    watchdog: Option<Duration>,
    stop: Stop,
}

/// Whether the payload was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    NotAsked,
    /// It has until then.
    Asked(Instant),
    /// It did not end in time.
    Killed,
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> Ending {
    move |error| Ending::failed(format!("{what}: {error}"))
}

impl<'a> Monitor<'a> {
    fn start(arguments: &'a Arguments) -> Result<Self, Ending> {
        let signals = Signals::catch().map_err(failed("signals cannot be caught"))?;
        let own = Pid::from_raw(1); // any number: it switches it on
        set_child_subreaper(own)
            .map_err(|error| failed("orphans cannot be adopted")(error.into()))?;
        let _lowered = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
        let proxy = Proxy::listen(&arguments.bundle).map_err(failed("the notify socket"))?;
        let (output, ends) = streams(arguments).map_err(failed("the journal"))?;
        let payload = runtime::create(arguments, ends)?;
        let handle = pidfd_open(payload, PidfdFlags::empty())
            .map_err(|error| failed("the payload is gone")(error.into()))?;
        runtime::start(arguments)?;
        notify::tell(match arguments.readiness {
            Readiness::Start => "READY=1\nSTATUS=Running",
            Readiness::Payload => "STATUS=Started; not ready yet",
        });
        Ok(Self {
            arguments,
            signals,
            proxy,
            output,
            payload,
            handle,
            watchdog: watchdog(arguments.readiness),
            stop: Stop::NotAsked,
        })
    }

    fn watch(mut self) -> Ending {
        loop {
            if let Some(ending) = self.reap() {
                self.drain();
                return ending;
            }
            self.wait();
            self.proxy.forward();
            if let Some((journal, pipes)) = &mut self.output {
                for pipe in pipes {
                    pipe.forward(journal);
                }
            }
            for signal in self.signals.take() {
                self.pass_on(signal);
            }
            self.kill_if_late(Instant::now());
            if self.watchdog.is_some() {
                notify::tell("WATCHDOG=1");
            }
        }
    }

    /// Until something has come.
    fn wait(&self) {
        let mut descriptors: Vec<BorrowedFd<'_>> =
            vec![self.signals.wake().as_fd(), self.proxy.socket().as_fd()];
        if let Some((_, pipes)) = &self.output {
            descriptors.extend(pipes.iter().filter_map(Pipe::descriptor));
        }
        let mut waited: Vec<PollFd<'_>> = descriptors
            .iter()
            .map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN))
            .collect();
        let time_left = match self.stop {
            Stop::Asked(until) => Some(until.saturating_duration_since(Instant::now())),
            Stop::NotAsked | Stop::Killed => None,
        };
        let timeout = self.watchdog.into_iter().chain(time_left).min();
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        // An interruption is a signal, which the loop looks for anyway.
        let _ready = poll(&mut waited, timeout.as_ref());
    }

    /// Every child that ended: the payload, and orphans of the runtime.
    fn reap(&self) -> Option<Ending> {
        let mut ending = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.payload {
                ending = Some(ending_of(status));
            }
        }
        ending
    }

    /// What was written and said before the end.
    fn drain(&mut self) {
        self.proxy.forward();
        if let Some((journal, pipes)) = &mut self.output {
            for pipe in pipes {
                pipe.forward(journal);
                pipe.finish(journal);
            }
        }
    }

    /// A payload without a handler never sees a signal that would end it: it is the first process of its
    /// namespace. So Docker kills what does not end in time, and so do we, while somebody is left to clean up.
    fn kill_if_late(&mut self, now: Instant) {
        if matches!(self.stop, Stop::Asked(until) if until <= now) {
            let seconds = self.arguments.stop_timeout.as_secs();
            notify::tell(&format!("STATUS=Killed: it did not end within {seconds} s"));
            // It fails only for a payload that has just ended.
            let _sent = pidfd_send_signal(&self.handle, Signal::KILL);
            self.stop = Stop::Killed;
        }
    }

    fn pass_on(&mut self, signal: i32) {
        let signal = if signal == SIGTERM {
            notify::tell("STOPPING=1\nSTATUS=Stopping");
            if self.stop == Stop::NotAsked {
                self.stop = Stop::Asked(Instant::now() + self.arguments.stop_timeout);
            }
            self.arguments.stop_signal
        } else {
            signal
        };
        match Signal::from_named_raw(signal) {
            Some(signal) => {
                // It fails only for a payload that has just ended.
                let _sent = pidfd_send_signal(&self.handle, signal);
            }
            // A real-time signal, such as the one that ends a systemd.
            None => runtime::kill(self.arguments, signal),
        }
    }
}

/// The pipes, and what the payload gets as its output.
type Streams = (Option<(Journal, [Pipe; 2])>, [Stdio; 2]);

fn streams(arguments: &Arguments) -> std::io::Result<Streams> {
    match arguments.output {
        Output::Inherited => Ok((None, [Stdio::inherit(), Stdio::inherit()])),
        Output::Journal => {
            let journal = Journal::connect(&arguments.name, &arguments.image)?;
            let (output, output_end) = Pipe::new(Stream::Output)?;
            let (error, error_end) = Pipe::new(Stream::Error)?;
            Ok((Some((journal, [output, error])), [output_end, error_end]))
        }
    }
}

/// Half of what systemd allows, if nobody but the monitor can say that it is alive.
fn watchdog(readiness: Readiness) -> Option<Duration> {
    let allowed: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    let half = Duration::from_micros(allowed / 2).max(Duration::from_millis(1));
    (readiness == Readiness::Start).then_some(half)
}

fn ending_of(status: WaitStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Ending::Killed(signal),
        (None, None) => Ending::failed("the payload ended in a way that the kernel does not tell"),
    }
}

//! The serial console of a machine: captured, logged with times, searched and typed on.
//!
//! It does not interpret what the guest prints, except that a line from which nothing good
//! follows ([`Severity::Fatal`]) ends a wait.

use crate::badness::{self, Severity};
use crate::strip::LineAssembler;
use crate::sync::lock;
use crate::{Pattern, QemuError, WaitCause, WaitFailure, interrupt};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How many lines a failure shows.
const TAIL_LINES: usize = 20;
/// What a guest prints right after a fatal line, a stack trace mostly, belongs in the report.
const FATAL_GRACE: Duration = Duration::from_millis(300);

/// A line of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleLine {
    /// Its number, from 1.
    pub number: usize,
    /// When its first byte came, counted from the start of the machine.
    pub since_start: Duration,
    /// Its text, without escape sequences.
    pub text: String,
}

/// The serial console of a machine. Clones are the same console.
#[derive(Debug, Clone)]
pub struct Console {
    shared: Arc<Shared>,
}

/// What a console is made of, beside its stream.
#[derive(Debug)]
pub(crate) struct ConsoleFiles {
    /// The machine's name, for messages.
    pub(crate) machine: String,
    /// The log that is written.
    pub(crate) log: PathBuf,
    /// What QEMU itself prints.
    pub(crate) messages: PathBuf,
    /// Lines with one of these texts do not end a wait.
    pub(crate) tolerated: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    files: ConsoleFiles,
    started: Instant,
    input: Mutex<UnixStream>,
    state: Mutex<State>,
    changed: Condvar,
    failed: AtomicBool,
    mirror: Mutex<Mirror>,
}

#[derive(Debug)]
struct State {
    raw: Vec<u8>,
    lines: Vec<ConsoleLine>,
    assembler: LineAssembler,
    /// When the first byte of the unfinished line came.
    unfinished_since: Duration,
    stream: Stream,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Stream {
    Open,
    Ended,
}

/// A copy of everything the guest prints.
enum Mirror {
    Off,
    On {
        sink: Box<dyn Write + Send>,
        /// How many bytes the sink has got.
        written: usize,
    },
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Off => "Off",
            Self::On { .. } => "On",
        })
    }
}

impl Console {
    /// Begins to capture `stream` into a new log; the thread ends when the stream does.
    pub(crate) fn capture(
        stream: UnixStream,
        files: ConsoleFiles,
    ) -> Result<(Self, JoinHandle<()>), QemuError> {
        let log = File::create(&files.log).map_err(QemuError::file("create", &files.log))?;
        let input = stream
            .try_clone()
            .map_err(QemuError::file("duplicate", "the console's socket"))?;
        let state = State {
            raw: Vec::new(),
            lines: Vec::new(),
            assembler: LineAssembler::new(),
            unfinished_since: Duration::ZERO,
            stream: Stream::Open,
        };
        let console = Self {
            shared: Arc::new(Shared {
                files,
                started: Instant::now(),
                input: Mutex::new(input),
                state: Mutex::new(state),
                changed: Condvar::new(),
                failed: AtomicBool::new(false),
                mirror: Mutex::new(Mirror::Off),
            }),
        };
        let reader = console.clone();
        Ok((console, thread::spawn(move || reader.read(stream, log))))
    }

    /// Waits for a line, or the beginning of one, that matches `pattern`; lines printed before
    /// the call count. Fails at once if the machine ends or prints a fatal line.
    pub fn wait_for(
        &self,
        pattern: impl Into<Pattern>,
        timeout: Duration,
    ) -> Result<ConsoleLine, QemuError> {
        self.wait_after(0, pattern, timeout)
    }

    /// Like [`Console::wait_for`], with only the lines after number `after`.
    pub fn wait_after(
        &self,
        after: usize,
        pattern: impl Into<Pattern>,
        timeout: Duration,
    ) -> Result<ConsoleLine, QemuError> {
        let pattern = pattern.into();
        let cause = match self.search(after, &pattern, timeout) {
            Ok(line) => return Ok(line),
            Err(cause) => cause,
        };
        self.shared.failed.store(true, Ordering::SeqCst);
        interrupt::check()?;
        if matches!(cause, WaitCause::FatalLine { .. }) {
            self.wait_ended(FATAL_GRACE);
        }
        Err(self.failure(pattern.to_string(), cause))
    }

    /// Types `bytes` on the console.
    pub fn write(&self, bytes: &[u8]) -> Result<(), QemuError> {
        let written = lock(&self.shared.input).write_all(bytes);
        written.map_err(|source| QemuError::ConsoleWrite {
            machine: self.shared.files.machine.clone(),
            source,
        })
    }

    /// All lines so far, the last one perhaps unfinished.
    pub fn lines(&self) -> Vec<ConsoleLine> {
        let state = lock(&self.shared.state);
        let mut lines = state.lines.clone();
        lines.extend(state.unfinished());
        lines
    }

    /// All text so far, without escape sequences.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.lines().into_iter().map(|line| line.text).collect();
        texts.join("\n")
    }

    /// The number of the last line so far, for [`Console::wait_after`].
    pub fn last_line_number(&self) -> usize {
        let state = lock(&self.shared.state);
        state
            .unfinished()
            .map_or(state.lines.len(), |line| line.number)
    }

    /// Scans everything so far for bad lines, see [`badness::scan`]; what the machine tolerates
    /// is passed over.
    pub fn scan(&self) -> Vec<badness::Finding> {
        let lines = self.lines();
        lines
            .iter()
            .filter_map(|line| {
                badness::scan_line(&line.text, line.number, &self.shared.files.tolerated)
            })
            .collect()
    }

    /// Where the log is; it may go with the machine, see [`crate::LogPolicy`].
    pub fn log_path(&self) -> &Path {
        &self.shared.files.log
    }

    /// Whether a wait has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// Waits until the machine has ended or `timeout` is over, and returns whether it has ended.
    pub(crate) fn wait_ended(&self, timeout: Duration) -> bool {
        let state = lock(&self.shared.state);
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, timeout, |state| state.stream == Stream::Open);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stream == Stream::Ended
    }

    /// Describes why waiting for `pattern` failed.
    pub(crate) fn failure(&self, pattern: String, cause: WaitCause) -> QemuError {
        let files = &self.shared.files;
        let lines = self.lines();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        QemuError::Console(Box::new(WaitFailure {
            machine: files.machine.clone(),
            pattern,
            cause,
            tail: tail.iter().map(|line| line.text.clone()).collect(),
            messages: read_messages(&files.messages),
            log: files.log.clone(),
        }))
    }

    /// Copies everything the guest has printed and will print into `sink`.
    pub(crate) fn mirror(&self, sink: Box<dyn Write + Send>) {
        *lock(&self.shared.mirror) = Mirror::On { sink, written: 0 };
        self.feed_mirror();
    }

    /// Ends the copying.
    pub(crate) fn end_mirror(&self) {
        *lock(&self.shared.mirror) = Mirror::Off;
    }

    fn search(
        &self,
        after: usize,
        pattern: &Pattern,
        timeout: Duration,
    ) -> Result<ConsoleLine, WaitCause> {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.shared.state);
        let mut next = after;
        loop {
            while let Some(line) = state.lines.get(next) {
                if pattern.matches(&line.text) {
                    return Ok(line.clone());
                }
                self.check_fatal(line)?;
                next += 1;
            }
            let unfinished = state.unfinished().filter(|line| line.number > after);
            if let Some(line) = unfinished.filter(|line| pattern.matches(&line.text)) {
                return Ok(line);
            }
            if state.stream == Stream::Ended {
                return Err(WaitCause::Ended);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seconds = timeout.as_secs_f32();
                return Err(WaitCause::TimedOut { seconds });
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn check_fatal(&self, line: &ConsoleLine) -> Result<(), WaitCause> {
        let tolerated = &self.shared.files.tolerated;
        match badness::scan_line(&line.text, line.number, tolerated) {
            Some(finding) if finding.severity == Severity::Fatal => Err(WaitCause::FatalLine {
                number: finding.number,
                reason: finding.reason,
            }),
            _ => Ok(()),
        }
    }

    fn read(&self, mut stream: UnixStream, mut log: File) {
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.take(&buffer[..length], &mut log),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // QEMU has gone, which is an end like any other.
                Err(_) => break,
            }
        }
        let mut state = lock(&self.shared.state);
        if let Some(last) = state.unfinished() {
            write_log(&mut log, &last);
            state.lines.push(last);
            state.assembler.take();
        }
        state.stream = Stream::Ended;
        drop(state);
        self.shared.changed.notify_all();
    }

    fn take(&self, bytes: &[u8], log: &mut File) {
        let now = self.shared.started.elapsed();
        for line in lock(&self.shared.state).push(bytes, now) {
            write_log(log, &line);
        }
        self.shared.changed.notify_all();
        self.feed_mirror();
    }

    fn feed_mirror(&self) {
        let mut mirror = lock(&self.shared.mirror);
        let Mirror::On { sink, written } = &mut *mirror else {
            return;
        };
        let fresh = lock(&self.shared.state).raw[*written..].to_vec();
        *written += fresh.len();
        if sink.write_all(&fresh).and_then(|()| sink.flush()).is_err() {
            // Whoever watched has gone; the machine goes on.
            *mirror = Mirror::Off;
        }
    }
}

impl State {
    /// Takes in what came at `now` and returns the lines it completes.
    fn push(&mut self, bytes: &[u8], now: Duration) -> Vec<ConsoleLine> {
        self.raw.extend(bytes);
        if self.assembler.unfinished().is_empty() {
            self.unfinished_since = now;
        }
        let mut completed = Vec::new();
        for text in self.assembler.push(bytes) {
            completed.push(ConsoleLine {
                number: self.lines.len() + completed.len() + 1,
                since_start: self.unfinished_since,
                text,
            });
            self.unfinished_since = now;
        }
        self.lines.extend(completed.iter().cloned());
        completed
    }

    fn unfinished(&self) -> Option<ConsoleLine> {
        let text = self.assembler.unfinished();
        (!text.is_empty()).then(|| ConsoleLine {
            number: self.lines.len() + 1,
            since_start: self.unfinished_since,
            text,
        })
    }
}

/// A full disk must not end the capture: the lines stay in memory.
fn write_log(log: &mut File, line: &ConsoleLine) {
    let seconds = line.since_start.as_secs_f64();
    let _ = writeln!(log, "[{seconds:9.3}] {}", line.text);
}

/// What QEMU printed into the file `path`.
pub(crate) fn read_messages(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests;

//! Other processes in the container: clients' and checks of health. The runtime starts each and is gone then, and the
//! monitor, which adopts orphans, is told how it ended.
//!
//! Nothing waits for the runtime: the payload's output goes on meanwhile.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use monitor_protocol::message::{Exec, ExecStreams, Failure, FailureKind};
use rustix::process::{Pid, PidfdFlags, Signal, WaitStatus, pidfd_open, pidfd_send_signal};

use crate::arguments::Arguments;
use crate::child::Ended;
use crate::console::Console;
use crate::exit::{Ending, NOT_EXECUTABLE, NOT_FOUND};
use crate::input::Input;
use crate::journal::Stream;
use crate::reading::Reading;
use crate::{process, runtime};

/// More at once are refused.
pub(crate) const EXECUTIONS_MAX: usize = 64;

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A client, by number.
    Client(u64),
    /// One that went away, or nobody.
    Nobody,
    /// The monitor: a check of health.
    Health,
}

/// Where it is in its life.
#[derive(Debug)]
enum Phase {
    /// The runtime, which has this number, starts it.
    Starting(Pid, Option<Console>),
    /// It has a number, and a handle unless it ended at once.
    Running(Pid, Option<OwnedFd>),
}

/// A process.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) id: u64,
    pub(crate) owner: Owner,
    phase: Phase,
    pub(crate) readings: Vec<Reading>,
    pub(crate) input: Option<Input>,
    /// Whether it goes on when its client goes.
    pub(crate) stays: bool,
}

/// What became of it because some process ended.
#[derive(Debug)]
pub(crate) enum Change {
    /// It had nothing to do with that process.
    None,
    /// It runs, with this number.
    Started(Pid),
    /// It does not.
    NotStarted(Failure),
    /// It ended.
    Ended(Ended),
}

fn failure(kind: FailureKind, reason: impl Into<String>) -> Failure {
    let reason = reason.into();
    Failure { kind, reason }
}

fn broken(error: &std::io::Error) -> Failure {
    failure(FailureKind::Runtime, error.to_string())
}

impl Execution {
    /// Has the runtime start it.
    pub(crate) fn begin(
        arguments: &Arguments,
        payload: Pid,
        id: u64,
        owner: Owner,
        exec: &Exec,
    ) -> Result<Self, Failure> {
        if exec.command.is_empty() {
            return Err(failure(FailureKind::Invalid, "no command was given"));
        }
        let description = process::describe(exec, payload);
        let description = description.map_err(|reason| failure(FailureKind::Invalid, reason))?;
        std::fs::write(runtime::exec_file(id, "json"), description)
            .map_err(|error| broken(&error))?;
        let (mut readings, mut input, mut ends) = (Vec::new(), None, [const { None }; 3]);
        let mut console = None;
        match exec.streams {
            ExecStreams::Detached => {}
            ExecStreams::Terminal { .. } => {
                console = Some(
                    Console::listen(runtime::exec_file(id, "console"))
                        .map_err(|error| broken(&error))?,
                );
            }
            ExecStreams::Pipes { input: has_input } => {
                if has_input {
                    let (writing, end) = Input::pipe().map_err(|error| broken(&error))?;
                    (input, ends[0]) = (Some(writing), Some(end));
                }
                for (at, stream) in [(1, Stream::Output), (2, Stream::Error)] {
                    let (reading, end) = Reading::pipe(stream).map_err(|error| broken(&error))?;
                    readings.push(reading);
                    ends[at] = Some(end);
                }
            }
        }
        let ends = ends.map(|end| end.map_or_else(Stdio::null, Stdio::from));
        let runtime = runtime::exec(arguments, id, console.is_some(), ends)
            .map_err(|error| broken(&error))?;
        Ok(Self {
            id,
            owner,
            phase: Phase::Starting(runtime, console),
            readings,
            input,
            stays: exec.streams == ExecStreams::Detached,
        })
    }

    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting(..))
    }

    /// Some process ended: the runtime, this one, or neither.
    pub(crate) fn take(&mut self, ended: Ended) -> Change {
        let pid = ended.pid;
        match &self.phase {
            Phase::Starting(runtime, _) if *runtime == pid => match self.started(ended.status) {
                Ok(pid) => Change::Started(pid),
                Err(failure) => Change::NotStarted(failure),
            },
            Phase::Running(own, _) if *own == pid => Change::Ended(ended),
            Phase::Starting(..) | Phase::Running(..) => Change::None,
        }
    }

    fn started(&mut self, status: WaitStatus) -> Result<Pid, Failure> {
        let told = runtime::exec_result(self.id, status.exit_status() == Some(0));
        let pid = told.map_err(|ending| match ending {
            Ending::NotStarted { code, reason } => failure(kind(code), reason),
            Ending::Failed { reason } => failure(FailureKind::Runtime, reason),
            Ending::Exited(_) | Ending::Killed(_) => failure(FailureKind::Runtime, "it is over"),
        })?;
        if let Phase::Starting(_, Some(console)) = &self.phase {
            let master = console.receive().map_err(|error| broken(&error))?;
            let reading = Reading::terminal(master.try_clone().map_err(|error| broken(&error))?)
                .map_err(|error| broken(&error))?;
            self.readings.push(reading);
            self.input = Some(Input::terminal(master));
        }
        // It may have ended already, and the monitor waited for it: then its end is among those that nobody took.
        self.phase = Phase::Running(pid, pidfd_open(pid, PidfdFlags::empty()).ok());
        // They may name secrets, and are needed no more.
        runtime::remove_exec_files(self.id);
        Ok(pid)
    }

    /// A signal for the process. It does nothing to one that is over or not there yet.
    pub(crate) fn kill(&self, signal: Signal) {
        if let Phase::Running(_, Some(handle)) = &self.phase {
            let _sent = pidfd_send_signal(handle, signal);
        }
    }

    /// Its client is gone.
    pub(crate) fn abandon(&mut self) {
        self.owner = Owner::Nobody;
        if self.stays {
            return;
        }
        // An end for pipes; a terminal hangs up when its last descriptor is closed.
        self.input = None;
        self.readings.retain(|reading| !reading.is_terminal());
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        runtime::remove_exec_files(self.id);
    }
}

/// What one of Docker's codes says.
pub(crate) fn kind(code: u8) -> FailureKind {
    match code {
        NOT_FOUND => FailureKind::NotFound,
        NOT_EXECUTABLE => FailureKind::NotExecutable,
        _ => FailureKind::Runtime,
    }
}

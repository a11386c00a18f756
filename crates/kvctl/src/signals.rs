//! Being told to stop, and telling others.
//!
//! It knows SIGINT and SIGTERM only.
use std::process::{ExitCode, ExitStatus};

use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Whether somebody wants us to stop. From its making on, signals end nothing by themselves and none
/// is lost.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::Plain(format!("cannot wait for signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Waits until somebody does.
    pub(crate) async fn wanted(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ends the command with us: if this is dropped because the lock is lost, the command is killed.
pub(crate) async fn run_to_its_end(
    command: &mut Command,
    program: &str,
    stop: &mut Stop,
) -> Result<ExitCode, Failure> {
    let child = command.kill_on_drop(true).spawn();
    let mut child =
        child.map_err(|error| Failure::Plain(format!("cannot run {program}: {error}")))?;
    let failed = |error| Failure::Plain(format!("cannot wait for {program}: {error}"));
    let ended = tokio::select! {
        status = child.wait() => Some(status.map_err(failed)?),
        () = stop.wanted() => None,
    };
    let status = if let Some(status) = ended {
        status
    } else {
        terminate(&child);
        child.wait().await.map_err(failed)?
    };
    Ok(ExitCode::from(shell_code(status)))
}

/// Asks a child to stop.
pub(crate) fn terminate(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        // If it has ended meanwhile, all the better.
        let _sent = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

/// A child's exit code, as shells give it.
pub(crate) fn shell_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

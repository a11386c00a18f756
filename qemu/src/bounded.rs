//! Runs a program to its end, for a bounded time, and collects what it prints.
//!
//! It does not interpret the exit status.

use crate::{QemuError, child::ChildProcess};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a program printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended; nothing if its time was over and it was killed.
    pub(crate) status: Option<ExitStatus>,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: Vec<u8>,
}

impl Finished {
    /// Everything it printed, first the standard output.
    pub(crate) fn text(&self) -> String {
        let stdout = String::from_utf8_lossy(&self.stdout);
        let stderr = String::from_utf8_lossy(&self.stderr);
        format!("{} {}", stdout.trim(), stderr.trim())
            .trim()
            .to_owned()
    }
}

/// Runs `command` without input and kills it when `timeout` is over.
pub(crate) fn run(command: Command, timeout: Duration) -> Result<Finished, QemuError> {
    run_inheriting(command, Vec::new(), timeout)
}

/// Like [`run`], with the `inherited` files open in the child under their numbers.
pub(crate) fn run_inheriting(
    mut command: Command,
    inherited: Vec<OwnedFd>,
    timeout: Duration,
) -> Result<Finished, QemuError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = ChildProcess::spawn(command, inherited)?;
    let (stdout, stderr) = child.take_output();
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    let status = child.wait(timeout);
    drop(child);
    Ok(Finished {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Like [`run`], and a program that has to be killed is an error.
pub(crate) fn run_to_end(
    command: Command,
    timeout: Duration,
) -> Result<(ExitStatus, Finished), QemuError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let finished = run(command, timeout)?;
    match finished.status {
        Some(status) => Ok((status, finished)),
        None => Err(QemuError::CommandTimeout {
            program,
            seconds: timeout.as_secs_f32(),
            output: finished.text(),
        }),
    }
}

fn collect<R: Read + Send + 'static>(source: Option<R>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What was read before an error is what there is to report.
            let _ = source.read_to_end(&mut bytes);
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_and_status_arrive() {
        let finished = run(
            shell("echo out; echo err >&2; exit 3"),
            Duration::from_secs(30),
        )
        .unwrap();
        assert_eq!(finished.status.unwrap().code(), Some(3));
        assert_eq!(finished.text(), "out err");
    }

    #[test]
    fn endless_program_is_killed_and_its_output_kept() {
        let error = run_to_end(
            shell("echo begun; exec sleep 600"),
            Duration::from_millis(300),
        )
        .unwrap_err();
        assert!(error.to_string().ends_with("it printed: begun"), "{error}");
    }
}

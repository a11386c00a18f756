//! Runs programs, timed, and ends them when this program is told to end.
//!
//! Machines are not its business: they end themselves.

use anyhow::{Context as _, bail};
use keelson_qemu::interrupt;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read as _, Seek as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// This program, even if a build has replaced its file since it began.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How much of what a failed program printed is shown.
const MESSAGE_LINES: usize = 20;

/// Runs `command` without input to its end and returns how long that took and what it printed to
/// its standard output.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<(Duration, String)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut output = tempfile::tempfile().context("cannot create a temporary file")?;
    let mut messages = tempfile::tempfile().context("cannot create a temporary file")?;
    let begun = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(messages.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let status = wait(child)?;
    let took = begun.elapsed();
    if !status.success() {
        bail!(
            "{program} failed ({status}):\n{}",
            tail(&read_all(&mut messages)?)
        );
    }
    Ok((took, read_all(&mut output)?))
}

fn wait(mut child: Child) -> anyhow::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt::received().is_some() {
            // A program that has ended meanwhile needs no signal.
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            child.wait()?;
            bail!("interrupted");
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

fn read_all(file: &mut std::fs::File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(MESSAGE_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_comes_back_and_failures_say_why() {
        let (_, output) = run(Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!(output, "out\n");
        let error = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.ends_with("why"),
            "{text}"
        );
    }

    #[test]
    fn only_the_end_of_messages_is_shown() {
        let text: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let shown = tail(&text.join("\n"));
        assert_eq!(
            (shown.lines().count(), shown.lines().last()),
            (MESSAGE_LINES, Some("99"))
        );
    }
}

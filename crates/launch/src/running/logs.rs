//! `launch logs`: what a container wrote, from the journal, under whichever unit it ran.
//!
//! journalctl does it.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use super::command_line::LogsArguments;

pub(crate) fn run(arguments: &LogsArguments) -> anyhow::Result<ExitCode> {
    let error = command(arguments).exec();
    Err(error).context("journalctl")
}

fn command(arguments: &LogsArguments) -> Command {
    let mut command = Command::new("journalctl");
    let output = if arguments.timestamps {
        "short-iso-precise"
    } else {
        "cat"
    };
    command.args(["--no-pager", "--quiet", "--output", output]);
    match arguments.lines {
        Some(lines) => command.arg(format!("--lines={lines}")),
        // All of it, also with --follow.
        None => command.arg("--no-tail"),
    };
    if arguments.follow {
        command.arg("--follow");
    }
    for (option, value) in [("--since", &arguments.since), ("--until", &arguments.until)] {
        if let Some(value) = value {
            command.arg(format!("{option}={value}"));
        }
    }
    command.arg(format!("CONTAINER_NAME={}", arguments.name));
    command
}

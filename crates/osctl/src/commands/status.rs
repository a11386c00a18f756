//! `osctl status`: what this machine runs, as text or JSON on standard output.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::StatusArguments;
use crate::device_mapper;
use crate::health_sequence::Clock as _;
use crate::live_machine::BootClock;
use crate::status::{Status, json, text};
use machine_facts::system_root::SystemRoot;

/// Runs the command.
pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let status = Status::read(&SystemRoot::new("/"), &device_mapper::query)?;
    let now = BootClock.since_boot();
    let out = if arguments.json {
        json::render(&status, now)?
    } else {
        text::render(&status, now)
    };
    io::stdout()
        .write_all(out.as_bytes())
        .context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

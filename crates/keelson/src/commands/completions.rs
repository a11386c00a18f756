//! `keelson completions`: a completion script on standard output.

use clap::CommandFactory as _;
use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::Cli;

/// Runs the command.
pub(crate) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    // Into memory first: clap_complete panics where its output is closed early.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keelson", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

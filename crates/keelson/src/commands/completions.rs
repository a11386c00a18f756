//! `keelson completions`: a completion script on standard output.

use clap::CommandFactory as _;
use std::process::ExitCode;

use crate::cli::Cli;

/// Runs the command.
pub(crate) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "keelson",
        &mut std::io::stdout(),
    );
    Ok(ExitCode::SUCCESS)
}

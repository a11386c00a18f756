//! `keelson run`: boots an image in QEMU.

use std::process::ExitCode;

use crate::cli::RunArguments;

/// Runs the command.
pub(crate) fn run(_arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::FAILURE)
}

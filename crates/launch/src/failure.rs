//! How `launch` fails: one line, and Docker's exit code.
//!
//! The payload's own exit code never comes through here.

use std::process::ExitCode;

/// Docker's code for whatever went wrong before a payload ran.
const LAUNCHER_FAILED: u8 = 125;

/// Prints the chain of reasons in one line, to the terminal and as the unit's status.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let line = format!("{error:#}").replace('\n', " ");
    eprintln!("launch: {line}");
    service_manager::status(&line);
    ExitCode::from(LAUNCHER_FAILED)
}

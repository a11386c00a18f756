//! The fleet's command line: fleetctl's commands, flags, output and exit codes, and what people
//! missed in it.
//!
//! It asks one fleetd through its HTTP API, directly or through SSH. It keeps no state but the keys of
//! SSH hosts, and decides nothing about where units run.

mod apply;
mod arguments;
mod change;
mod completions;
mod connect;
mod difference;
mod dispatch;
mod explain;
mod failure;
mod fields;
mod files;
mod forward;
mod growth;
mod journal;
mod list;
mod machines;
mod moving;
mod names;
mod output;
mod progress;
mod replace;
mod rollout;
mod shell;
mod ssh;
mod status;
mod table;
mod terminal;
mod top;
mod update;
mod verify;
mod wait;
mod watch;
mod well;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::arguments::Arguments;
use crate::failure::Failure;

/// What fleetctl exits with for arguments that it does not understand.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(format!("cannot start: {error}")).report(),
    };
    let status = runtime.block_on(async {
        match dispatch::run(&arguments).await {
            Ok(status) => ExitCode::from(status),
            Err(failure) => failure.report(),
        }
    });
    // Standard input may be read still, by a thread that cannot be stopped.
    runtime.shutdown_background();
    status
}

/// Tells what is wrong with the arguments. Without a command there is help, and that is no failure.
fn refuse(error: &clap::Error) -> ExitCode {
    let is_empty = matches!(
        error.kind(),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let _written = if is_empty {
        Arguments::command().print_help()
    } else {
        error.print()
    };
    let is_asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    ExitCode::from(if is_empty || is_asked { 0 } else { USAGE })
}

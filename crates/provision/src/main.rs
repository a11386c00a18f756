//! `provision`: applies a machine's first-boot configuration, and says what became of it.
//!
//! Parsing, printing and exit codes; the work stands in the library.

mod afterwards;
mod apply;
mod attached;
mod cli;
mod emergency;
mod firmware;
mod first_boot;
mod hand_over;
mod network;
mod pending;
mod ready;
mod record;
mod state_disk;
mod status;

use std::process::ExitCode;

use clap::Parser as _;
use machine_facts::provision_record::{Outcome, Record};

use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Apply(arguments) => apply::run(&arguments),
        Command::FirstBoot(arguments) => first_boot::run(&arguments),
        Command::StateDisk(arguments) => state_disk::run(&arguments),
        Command::Network(arguments) => network::run(&arguments),
        Command::Ready(arguments) => ready::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("provision: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is wrong, on standard error, and the exit code that says of which kind it is.
fn conclude(record: &Record) -> ExitCode {
    match &record.outcome {
        Outcome::Nothing | Outcome::Applied => ExitCode::SUCCESS,
        Outcome::Failed { reason } => {
            eprintln!("provision: {reason}");
            ExitCode::FAILURE
        }
        Outcome::Refused { problems } => {
            for problem in problems {
                eprintln!("{problem}");
            }
            let count = problems.len();
            let plural = if count == 1 { "" } else { "s" };
            eprintln!("provision: {count} problem{plural}; nothing was applied");
            ExitCode::from(3)
        }
        Outcome::Deferred { addresses } => {
            let first = addresses.first().map_or("a part of it", String::as_str);
            eprintln!("provision: {first} is on the network; nothing was applied");
            ExitCode::from(4)
        }
    }
}

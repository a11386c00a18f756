//! `keelson`: builds, runs, locks and inspects Keelson images.
//!
//! Parsing and exit codes only; a command's work stands in [`commands`].

mod cli;
mod commands;
mod terminal_report;

use clap::Parser as _;
use std::process::ExitCode;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Build(arguments) => commands::build::run(&arguments),
        Command::Lock(arguments) => commands::lock::run(&arguments),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Completions { shell } => commands::completions::run(shell),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("keelson: {error:#}");
            ExitCode::FAILURE
        }
    }
}

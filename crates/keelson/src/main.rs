//! `keelson`: builds, runs, locks, inspects and releases Keelson images.
//!
//! Parsing and exit codes only; a command's work stands in [`commands`].

mod cli;
mod commands;
mod release_cli;
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
        Command::Keys(arguments) => commands::keys::run(&arguments),
        Command::Release(arguments) => commands::release::run(&arguments),
        Command::Channel(arguments) => commands::channel::run(&arguments),
        Command::Serve(arguments) => commands::serve::run(&arguments),
        Command::Config { command } => commands::config::run(&command),
        Command::Customize(arguments) => commands::customize::run(&arguments),
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

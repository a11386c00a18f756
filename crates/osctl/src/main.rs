//! `osctl`: what a Keelson machine runs, whether it is healthy, and its updates.
//!
//! Parsing and exit codes only; a command's work stands in [`commands`].

mod boot_record;
mod cli;
mod commands;
mod device_mapper;
mod failed_boots;
mod health_check;
mod health_config;
mod health_sequence;
mod kernel_command_line;
mod live_machine;
mod mount_table;
mod network;
mod reset_state;
mod state_space;
mod status;
mod system_calls;
mod systemd;
#[cfg(test)]
mod test_machine;
mod update_service;
mod update_view;
mod verification;

use clap::Parser as _;
use std::process::ExitCode;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Health(arguments) => commands::health::run(&arguments),
        Command::Update(arguments) => commands::update::run(&arguments),
        Command::Rollback(arguments) => commands::rollback::run(&arguments),
        Command::Reset(arguments) => commands::reset::run(&arguments),
        Command::Why(arguments) => commands::why::run(&arguments),
        Command::Lock { command } => commands::lock::run(&command),
        Command::History(arguments) => commands::history::run(&arguments),
        Command::Pin(arguments) => commands::choices::pin(&arguments),
        Command::Channel(arguments) => commands::choices::channel(&arguments),
        Command::Completions { shell } => commands::completions::run(shell),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("osctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! `osctl`: what a Keelson machine runs, and whether it is healthy.
//!
//! Parsing and exit codes only; a command's work stands in [`commands`].

mod boot_entries;
mod boot_facts;
mod cli;
mod commands;
mod device_mapper;
mod error;
mod failed_boots;
mod health_check;
mod health_config;
mod health_report;
mod health_sequence;
mod kernel_command_line;
mod live_machine;
mod mount_table;
mod network;
mod release;
mod state_space;
mod status;
mod system_calls;
mod system_root;
mod systemd;
mod verification;

use clap::Parser as _;
use std::process::ExitCode;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Health(arguments) => commands::health::run(&arguments),
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

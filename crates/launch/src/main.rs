//! `launch`: runs containers as systemd units, pulls and loads images, and judges Quadlet files.
//!
//! `launch run` prepares everything and becomes `launch-monitor`, so that nothing of it stays. Under the name
//! `launch-generator` it is a systemd generator. Parsing, printing and exit codes; the work stands in the
//! modules.

mod check;
mod cli;
mod failure;
mod generator;
mod images;
mod load;
mod progress;
mod pull;
mod quadlet_files;
mod run;
mod run_arguments;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

/// Docker's code for a command line that is none.
const USAGE: u8 = 125;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("launch-generator".as_ref()) {
        return generator::run(words.next().as_deref());
    }
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let _printed = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    if let Command::Check(arguments) = command {
        return check::run(&arguments);
    }
    match perform(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

fn perform(command: Command) -> anyhow::Result<()> {
    // One thread: `run` changes namespaces and becomes another program.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match command {
        Command::Run(arguments) => {
            let prepared = runtime.block_on(run::prepare(&arguments))?;
            drop(runtime);
            prepared.become_monitor()
        }
        Command::Load(arguments) => runtime.block_on(load::load(&arguments)),
        Command::Pull(arguments) => runtime.block_on(pull::run(&arguments)),
        Command::Images(arguments) => runtime.block_on(images::list(&arguments)),
        Command::Rmi(arguments) => runtime.block_on(images::remove(&arguments)),
        Command::Save(arguments) => runtime.block_on(images::save(&arguments)),
        Command::Clean(arguments) => runtime.block_on(run::clean(&arguments)),
        Command::Check(_) => Ok(()),
    }
}

//! `launch`: runs containers as systemd units, pulls and loads images, judges Quadlet files, and asks monitors of
//! running containers.
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
mod monitor_arguments;
mod network_command;
mod pod_command;
mod progress;
mod prune;
mod pull;
mod quadlet_files;
mod record;
mod resource_command;
mod run;
mod run_arguments;
mod running;
mod volume_command;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use cli::{Cli, Command};

/// Docker's code for a command line that is none.
const USAGE: u8 = 125;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("launch-generator".as_ref()) {
        return generator::run(words.next().as_deref());
    }
    let words = match command_line() {
        Ok(words) => words,
        Err(error) => return failure::report(&error),
    };
    let command = match Cli::try_parse_from(words) {
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
    if let Command::Ended(arguments) = command {
        return record::ended(&arguments.record);
    }
    let performed = match &command {
        Command::Running(command) => running::perform(command),
        Command::Run(arguments) if run::terminal::is_wanted(arguments) => {
            run::terminal::run(arguments)
        }
        _ => perform(command).map(|()| ExitCode::SUCCESS),
    };
    match performed {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

/// The words, or those of the record that they name.
fn command_line() -> anyhow::Result<Vec<OsString>> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let text = given.iter().map(|word| word.clone().into_string().ok());
    let recorded = match text.collect::<Option<Vec<String>>>() {
        Some(text) => record::expand(&text)?,
        None => None,
    };
    Ok(recorded.map_or(given, |words| {
        words.into_iter().map(OsString::from).collect()
    }))
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
        Command::Prune(arguments) => runtime.block_on(prune::run(&arguments)),
        Command::Network(command) => network_command::perform(command),
        Command::Pod(command) => pod_command::perform(&command),
        Command::Volume(command) => volume_command::perform(command),
        Command::Clean(arguments) => runtime.block_on(run::clean(&arguments)),
        Command::Completions { shell } => completions(shell),
        Command::Check(_) | Command::Running(_) | Command::Ended(_) => Ok(()),
    }
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    // Into memory first: clap_complete panics where its output is closed early.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "launch", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

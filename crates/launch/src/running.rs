//! Containers that run: commands that talk with their monitors, and with systemd about their units.
//!
//! Each command has a file. Nothing here starts a container or speaks to containerd.

pub(crate) mod attach;
pub(crate) mod command_line;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod exec;
pub(crate) mod inspect;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod registration;
pub(crate) mod session;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod top;

use std::path::Path;
use std::process::ExitCode;

use container_model::name::Name;
use monitor_protocol::{FOLDER, Status};

use command_line::RunningCommand;
use connection::Connection;

/// Does what the command line says.
pub(crate) fn perform(command: &RunningCommand) -> anyhow::Result<ExitCode> {
    match command {
        RunningCommand::Exec(arguments) => return exec::run(arguments),
        RunningCommand::Attach(arguments) => return attach::run(arguments),
        RunningCommand::Logs(arguments) => return logs::run(arguments),
        RunningCommand::Ps(arguments) => ps::run(arguments),
        RunningCommand::Stop(arguments) => control::stop(arguments),
        RunningCommand::Kill(arguments) => control::kill(arguments),
        RunningCommand::Pause(arguments) => control::pause(arguments),
        RunningCommand::Unpause(arguments) => control::unpause(arguments),
        RunningCommand::Inspect(arguments) => inspect::run(arguments),
        RunningCommand::Top(arguments) => top::run(arguments),
        RunningCommand::Stats(arguments) => stats::run(arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The names of containers that have a folder; the monitor of one may be gone.
fn names() -> Vec<Name> {
    let entries = std::fs::read_dir(Path::new(FOLDER)).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<Name> = names.filter_map(|name| name.parse().ok()).collect();
    names.sort();
    names
}

/// How each container is whose monitor answers.
pub(crate) fn statuses() -> Vec<Status> {
    let ask = |name: &Name| Connection::open(name).ok()?.status().ok();
    names().iter().filter_map(ask).collect()
}

//! `osctl lock`: the cluster's reboot lock, by `updaterd`.

use std::process::ExitCode;

use anyhow::Context as _;
use update_model::lock_view::LockView;

use crate::cli::LockCommand;
use crate::commands::update::ensure_root;
use crate::update_service::UpdateService;

/// Runs the command.
pub(crate) fn run(command: &LockCommand) -> anyhow::Result<ExitCode> {
    ensure_root()?;
    let service = UpdateService::connect()?;
    match command {
        LockCommand::Status(arguments) => {
            let json = service.lock_status()?;
            if arguments.json {
                println!("{json}");
            } else {
                let view: LockView = serde_json::from_str(&json)
                    .context("updaterd's answer is of another version")?;
                print!("{view}");
            }
        }
        LockCommand::Unlock { machine } => println!("{}", service.unlock(machine)?),
        LockCommand::Slots { slots } => println!("{}", service.set_lock_slots(*slots)?),
    }
    Ok(ExitCode::SUCCESS)
}

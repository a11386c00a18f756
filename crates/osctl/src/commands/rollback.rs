//! `osctl rollback`: the other slot's version, by `updaterd`, and the reboot into it.

use std::process::ExitCode;

use crate::cli::RollbackArguments;
use crate::commands::update::{ensure_root, reboot};
use crate::update_service::UpdateService;

/// Runs the command.
pub(crate) fn run(arguments: &RollbackArguments) -> anyhow::Result<ExitCode> {
    ensure_root()?;
    let (version, withdrawn) = UpdateService::connect()?.rollback(arguments.forward)?;
    if !withdrawn.is_empty() {
        println!("{withdrawn} is withdrawn: {version}, which runs, boots next too");
    } else if arguments.no_reboot {
        println!("{version} boots next: `systemctl reboot` does it now");
    } else {
        println!("{version} boots now");
        reboot()?;
    }
    Ok(ExitCode::SUCCESS)
}

//! `provision state-disk`: which disk the configuration wants state on, for `/init`, before it makes state.
//!
//! All else of the configuration is left to [`crate::first_boot`], which also tells what is wrong with it. A configuration
//! from the network comes too late to say it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use disk_format::state_disk::{StateDisk, WISH_FILE};
use machine_facts::error::chain;
use provision::source::first;
use provision_model::settings::state_disk;

use crate::cli::FirstBootArguments;
use crate::first_boot::sources;

/// The configuration, or where it may be, is wrong: nobody can say what it wishes.
const REFUSED: u8 = 3;

/// Runs the command.
pub(crate) fn run(arguments: &FirstBootArguments) -> anyhow::Result<ExitCode> {
    let found = match first(&sources(arguments), &mut |_| {}) {
        Ok(found) => found,
        Err(error) => {
            println!("provision: {}", chain(&error));
            return Ok(ExitCode::from(REFUSED));
        }
    };
    let Some(found) = found else {
        return Ok(ExitCode::SUCCESS);
    };
    match state_disk(&found.bytes) {
        Ok(None) => {}
        Ok(Some(wish)) => tell(&arguments.firmware.run, &wish)?,
        Err(problems) => {
            for problem in problems {
                println!("{}:{problem}", found.name);
            }
            return Ok(ExitCode::from(REFUSED));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(run: &Path, wish: &StateDisk) -> anyhow::Result<()> {
    let path = run.join(WISH_FILE);
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(run))?;
        fs::write(&path, format!("{wish}\n"))
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

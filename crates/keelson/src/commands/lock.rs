//! `keelson lock`: resolves all packages anew and says what changed.

use std::process::ExitCode;

use image_build::renew::{differences, lock};

use crate::cli::LockArguments;
use crate::commands::{build_options, default_build};

/// Runs the command.
pub(crate) fn run(arguments: &LockArguments) -> anyhow::Result<ExitCode> {
    let options = build_options(&default_build(&arguments.places, false))?;
    let (old, new) = lock(&options, jiff::Timestamp::now())?;
    let changes = old.map_or_else(Vec::new, |old| differences(&old, &new));
    for line in &changes {
        eprintln!("{line}");
    }
    let path = options.lock_path();
    eprintln!(
        "{}: {} packages, {} changed",
        path.display(),
        new.packages.len(),
        changes.len()
    );
    Ok(ExitCode::SUCCESS)
}

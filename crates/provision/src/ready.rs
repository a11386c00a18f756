//! `provision ready`: tells the cloud that the machine is ready, where a cloud wants to be told. Only Azure does.

use std::process::ExitCode;

use anyhow::Context as _;
use provision::metadata::{Client, Pace, azure_readiness};

use crate::cli::ReadyArguments;

/// Runs the command.
pub(crate) fn run(arguments: &ReadyArguments) -> anyhow::Result<ExitCode> {
    let tell = |text: &str| println!("provision: {text}");
    let client = Client::new(&arguments.azure, Pace::USUAL, &tell);
    azure_readiness::report(&client).context("Azure was not told that the machine is ready")?;
    println!("provision: Azure knows that the machine is ready");
    Ok(ExitCode::SUCCESS)
}

//! `osctl history`: what updates did, a line for each event.

use std::process::ExitCode;

use anyhow::anyhow;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files::read_record;

use crate::cli::JsonArguments;

/// Runs the command.
pub(crate) fn run(arguments: &JsonArguments) -> anyhow::Result<ExitCode> {
    let record = read_record(&SystemRoot::new("/")).map_err(|error| anyhow!(error.reason()))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&record.history)?);
        return Ok(ExitCode::SUCCESS);
    }
    for event in &record.history {
        println!("{}  {}", event.at, event.what);
    }
    if record.history.is_empty() {
        println!("no update has happened on this machine yet");
    }
    Ok(ExitCode::SUCCESS)
}

//! `osctl why`: one sentence.

use std::process::ExitCode;

use anyhow::anyhow;
use machine_facts::system_root::SystemRoot;

use crate::cli::JsonArguments;
use crate::update_view::UpdateView;

/// Runs the command.
pub(crate) fn run(arguments: &JsonArguments) -> anyhow::Result<ExitCode> {
    let view = UpdateView::read(&SystemRoot::new("/")).map_err(|error| anyhow!(error.reason()))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&view)?);
    } else {
        println!("{}", view.why);
    }
    Ok(ExitCode::SUCCESS)
}

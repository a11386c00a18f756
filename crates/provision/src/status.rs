//! `provision status`: what became of the configuration.
//!
//! As `osctl status` has it, with every step and every problem.

use std::process::ExitCode;

use machine_facts::provision_record::{Outcome, Record};
use machine_facts::system_root::SystemRoot;

use crate::cli::StatusArguments;

/// Runs the command.
pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<ExitCode> {
    let record = Record::read(&SystemRoot::new(&arguments.root))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&record)?);
        return Ok(ExitCode::SUCCESS);
    }
    let Some(record) = record else {
        println!("no configuration was looked for yet");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{record}");
    for (label, value) in [("format", &record.format), ("digest", &record.digest)] {
        if let Some(value) = value {
            println!("  {label}: {value}");
        }
    }
    if let Outcome::Refused { problems } = &record.outcome {
        for problem in problems {
            println!("  {problem}");
        }
    }
    for step in &record.steps {
        println!("  {step}");
    }
    Ok(ExitCode::SUCCESS)
}

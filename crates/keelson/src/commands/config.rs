//! `keelson config check`: whether a first-boot configuration can be, and what it would do.
//!
//! Fetches nothing: of what is remote, the address is checked.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use provision_model::outline::{Action, outline};
use provision_model::{Format, Plan, Problem, parse};
use serde::Serialize;

use crate::cli::ConfigCommand;

/// What JSON says of a configuration.
#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
enum Report {
    Valid {
        format: String,
        actions: Vec<Action>,
    },
    Invalid {
        problems: Vec<Finding>,
    },
}

/// A problem as JSON.
#[derive(Debug, Serialize)]
struct Finding {
    line: Option<usize>,
    column: Option<usize>,
    key: String,
    text: String,
}

/// Runs the command.
pub(crate) fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Check { file, json } = command;
    let bytes = read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let parsed = parse(&bytes);
    let code = if parsed.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if *json {
        println!("{}", serde_json::to_string_pretty(&report(&parsed))?);
        return Ok(code);
    }
    match &parsed {
        Ok((format, plan)) => print_plan(file, *format, plan),
        Err(problems) => print_problems(file, problems),
    }
    Ok(code)
}

/// Prints all that is wrong with a configuration; whether that is nothing.
pub(crate) fn is_valid(file: &Path) -> anyhow::Result<bool> {
    let bytes = read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let problems = parse(&bytes).err();
    if let Some(problems) = &problems {
        print_problems(file, problems);
    }
    Ok(problems.is_none())
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

fn report(parsed: &Result<(Format, Plan), Vec<Problem>>) -> Report {
    match parsed {
        Ok((format, plan)) => Report::Valid {
            format: format.to_string(),
            actions: outline(plan),
        },
        Err(problems) => Report::Invalid {
            problems: problems.iter().map(finding).collect(),
        },
    }
}

fn finding(problem: &Problem) -> Finding {
    Finding {
        line: problem.position.map(|position| position.line),
        column: problem.position.map(|position| position.column),
        key: problem.key.to_string(),
        text: problem.text.clone(),
    }
}

fn print_plan(file: &Path, format: Format, plan: &Plan) {
    let actions = outline(plan);
    println!("{}: {format}, valid", file.display());
    if actions.is_empty() {
        println!("  nothing would be done");
    }
    for Action { kind, name, detail } in &actions {
        println!("  {kind:<13} {name}: {detail}");
    }
}

/// As compilers do, so that editors find the place.
fn print_problems(file: &Path, problems: &[Problem]) {
    for problem in problems {
        let separator = if problem.position.is_some() {
            ":"
        } else {
            ": "
        };
        eprintln!("{}{separator}{problem}", file.display());
    }
    let count = problems.len();
    let plural = if count == 1 { "" } else { "s" };
    eprintln!(
        "keelson: {}: {count} problem{plural}; nothing of it would be applied",
        file.display()
    );
}

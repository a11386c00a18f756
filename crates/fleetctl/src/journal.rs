//! `journal`: what a unit logged, on every machine that has it.
//!
//! The API tells it, global units included. fleet's own fleetd does not: then it is asked by SSH.

use fleet_api::{JournalQuery, JournalRecord, Unit};
use fleet_model::State;

use crate::arguments::Journal;
use crate::connect::{Session, id_legend};
use crate::failure::Failure;
use crate::shell::run_on_machine;

/// Runs it.
pub(crate) async fn run(session: &Session<'_>, journal: &Journal) -> Result<u8, Failure> {
    let unit = session.existing_unit(&journal.unit).await?;
    if let Some(port) = journal.ssh_port {
        return by_ssh(session, journal, &unit, port).await;
    }
    let machine_id = match &journal.machine {
        Some(beginning) => Some(session.find_machine(beginning).await?.id),
        None => None,
    };
    let query = JournalQuery {
        lines: journal.lines,
        follow: journal.follow,
        output: journal.output.clone(),
        machine_id,
    };
    let stream = session.client()?.journal(&unit.name, &query).await;
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) if error.is_not_found() => return by_ssh(session, journal, &unit, 22).await,
        Err(error) => {
            let what = format!("Error retrieving the journal of {}", unit.name);
            return Err(Failure::on(what)(error));
        }
    };
    let mut status = 0;
    while let Some(record) = stream.next().await {
        status = status.max(print(session, unit.is_global(), &record?)?);
    }
    if journal.follow {
        return Err(Failure::new("the journal's stream was ended by fleetd"));
    }
    Ok(status)
}

/// A line; that of a global unit says where it comes from.
fn print(session: &Session<'_>, is_global: bool, record: &JournalRecord) -> Result<u8, Failure> {
    match record {
        JournalRecord::Line { machine_id, line } => {
            let text = if is_global {
                format!("{} {line}", id_legend(machine_id, false))
            } else {
                line.clone()
            };
            session.output().line(&text, record)?;
            Ok(0)
        }
        JournalRecord::Unreachable {
            machine_id,
            message,
        } => {
            eprintln!("machine {machine_id} cannot be asked: {message}");
            Ok(1)
        }
    }
}

async fn by_ssh(
    session: &Session<'_>,
    journal: &Journal,
    unit: &Unit,
    port: u16,
) -> Result<u8, Failure> {
    let name = &unit.name;
    if unit.is_global() {
        let text = format!("Unable to retrieve journal of global unit {name} by SSH.");
        return Err(Failure::new(text));
    }
    if unit.current_state.unwrap_or(State::Inactive) == State::Inactive {
        let text = format!("Unit {name} does not appear to be running.");
        return Err(Failure::new(text));
    }
    let lines = journal.lines.to_string();
    let mut words = Vec::new();
    if journal.sudo {
        words.push("sudo");
    }
    words.extend([
        "journalctl",
        "--unit",
        name,
        "--no-pager",
        "-n",
        &lines,
        "--output",
        &journal.output,
    ]);
    if journal.follow {
        words.push("-f");
    }
    run_on_machine(session, &unit.machine_id, port, &words).await
}

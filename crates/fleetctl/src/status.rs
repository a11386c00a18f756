//! `status`: what systemd says of units, on every machine that has them.
//!
//! The API tells it, global units included. fleet's own fleetd does not: then it is asked by SSH.

use fleet_api::status::StatusReport;
use fleet_api::{Unit, UnitStatus};

use crate::arguments::Status;
use crate::connect::Session;
use crate::failure::Failure;
use crate::output::Output;
use crate::shell::run_on_machine;

/// What `systemctl status` exits with for a unit that is not there.
const NOT_THERE: u8 = 4;
/// What it exits with for a unit that does not run.
const NOT_RUNNING: u8 = 3;

/// Runs it; the exit code is systemctl's.
pub(crate) async fn run(session: &Session<'_>, status: &Status) -> Result<u8, Failure> {
    for (index, given) in status.units.iter().enumerate() {
        let unit = session.existing_unit(given).await?;
        if index > 0 && session.output() == Output::Text {
            session.output().text("\n", &())?;
        }
        let code = of_unit(session, &unit, status.ssh_port).await?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

async fn of_unit(session: &Session<'_>, unit: &Unit, ssh_port: Option<u16>) -> Result<u8, Failure> {
    if let Some(port) = ssh_port {
        return by_ssh(session, unit, port).await;
    }
    let answer = session.client()?.status(&unit.name).await;
    let answer = answer.map_err(Failure::on(format!(
        "Error retrieving status of {}",
        unit.name
    )))?;
    let Some(page) = answer else {
        return by_ssh(session, unit, 22).await;
    };
    if page.statuses.is_empty() {
        eprintln!(
            "Unit {} does not appear to be loaded on a machine.",
            unit.name
        );
        return Ok(NOT_THERE);
    }
    if session.output() == Output::Json {
        session.output().text("", &page.statuses)?;
        return Ok(page.statuses.iter().map(code).max().unwrap_or(0));
    }
    let is_one = page.statuses.len() == 1;
    let mut worst = 0;
    for (index, status) in page.statuses.iter().enumerate() {
        if !is_one {
            let machine = session.machine_legend(&status.machine_id, false).await;
            let space = if index > 0 { "\n" } else { "" };
            session
                .output()
                .text(&format!("{space}{machine}:\n"), &())?;
        }
        if !status.problem.is_empty() {
            let machine = session.machine_legend(&status.machine_id, false).await;
            eprintln!("{machine} cannot run {}: {}", unit.name, status.problem);
        }
        print(status)?;
        worst = worst.max(code(status));
    }
    Ok(worst)
}

/// systemctl may tell of another unit, which the machine has of its own, and call that active.
fn code(status: &UnitStatus) -> u8 {
    match status.report {
        StatusReport::Status { exit_code: 0, .. } if !status.problem.is_empty() => NOT_RUNNING,
        StatusReport::Status { exit_code, .. } => exit_code,
        StatusReport::Unreachable { .. } => 1,
    }
}

fn print(status: &UnitStatus) -> Result<(), Failure> {
    match &status.report {
        StatusReport::Status { text, .. } => {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            Output::Text.text(&format!("{text}{end}"), &())?;
        }
        StatusReport::Unreachable { message } => {
            eprintln!("machine {} cannot be asked: {message}", status.machine_id);
        }
    }
    Ok(())
}

async fn by_ssh(session: &Session<'_>, unit: &Unit, port: u16) -> Result<u8, Failure> {
    if unit.is_global() {
        return Err(Failure::new(format!(
            "Unable to determine status of global unit {} by SSH.",
            unit.name
        )));
    }
    if unit.machine_id.is_empty() {
        return Err(Failure::new(format!(
            "Unit {} does not appear to be loaded on a machine.",
            unit.name
        )));
    }
    let words = ["systemctl", "status", "-l", &unit.name];
    run_on_machine(session, &unit.machine_id, port, &words).await
}

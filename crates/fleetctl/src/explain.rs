//! `explain`: where a unit can run, and why nowhere else.
//!
//! The reasons are fleetd's. A unit that the cluster does not know is read from a file and not stored.

use fleet_api::{Explanation, MachineVerdict};

use crate::connect::Session;
use crate::failure::Failure;
use crate::files;
use crate::names::mangle;

/// Exits with 0 if a machine can take the unit, or has it and is not hindered.
pub(crate) async fn run(session: &Session<'_>, given: &str) -> Result<u8, Failure> {
    let name = mangle(given);
    let known = session.client()?.explain(&name).await;
    let known = known.map_err(Failure::on(format!("Error explaining unit {name}")))?;
    let explanation = if let Some(known) = known {
        known
    } else {
        let unit = files::find_anywhere(session, given).await?;
        let unstored = session.client()?.explain_unstored(&unit).await;
        unstored.map_err(Failure::on(format!("Error explaining unit {name}")))?
    };
    let text = text(session, &explanation).await;
    session.output().text(&text, &explanation)?;
    Ok(u8::from(!explanation.is_placeable()))
}

/// A line for each machine, and its reasons below it.
pub(crate) async fn text(session: &Session<'_>, explanation: &Explanation) -> String {
    let machines = match explanation {
        Explanation::Template => {
            return "a template runs nowhere itself, its instances do\n".to_owned();
        }
        Explanation::Cycle { units } => {
            return format!(
                "it has to be with itself in the end, by MachineOf=: {}\n",
                units.join(" -> ")
            );
        }
        Explanation::Machines { machines } => machines,
    };
    if machines.is_empty() {
        return "there are no machines\n".to_owned();
    }
    let mut text = String::new();
    for machine in machines {
        let legend = session.machine_legend(&machine.machine_id, false).await;
        text.extend([&legend, ": ", word(machine), "\n"]);
        if !machine.problem.is_empty() {
            text.extend(["    ", &machine.problem, "\n"]);
        }
        for refusal in &machine.refusals {
            text.extend(["    ", &refusal.message, "\n"]);
        }
    }
    text
}

fn word(machine: &MachineVerdict) -> &'static str {
    match (machine.placed, machine.refusals.is_empty()) {
        (true, true) if !machine.problem.is_empty() => "has it, and cannot run it",
        (true, true) => "has it",
        (true, false) => "has it, and may not keep it",
        (false, true) => "can take it",
        (false, false) => "no",
    }
}

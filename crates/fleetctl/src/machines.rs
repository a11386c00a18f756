//! `cordon`, `drain`, `uncordon`.
//!
//! fleetd's engine moves the units; here it is only watched.

use std::time::Instant;

use fleet_api::{Availability, Machine, Unit};
use serde_json::json;

use crate::arguments::{Drain, MachineChange};
use crate::connect::{Session, legend};
use crate::explain;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::wait::{Looks, Patience};

/// `cordon`
pub(crate) async fn cordon(session: &Session<'_>, change: &MachineChange) -> Result<u8, Failure> {
    set_all(
        session,
        &change.machines,
        Availability::Cordoned,
        "cordoned",
    )
    .await?;
    Ok(0)
}

/// `uncordon`
pub(crate) async fn uncordon(session: &Session<'_>, change: &MachineChange) -> Result<u8, Failure> {
    set_all(session, &change.machines, Availability::Open, "open").await?;
    Ok(0)
}

/// `drain`: waits until every unit is elsewhere. Exits with 1 if one is not.
pub(crate) async fn drain(session: &Session<'_>, drain: &Drain) -> Result<u8, Failure> {
    let machines = set_all(session, &drain.machines, Availability::Draining, "draining").await?;
    if drain.no_block {
        return Ok(0);
    }
    let mut status = 0;
    let begun = Instant::now();
    for machine in machines {
        let left = drain.timeout.saturating_sub(begun.elapsed());
        let remaining = wait_empty(session, &machine, Patience::For(left)).await?;
        if remaining.is_empty() {
            let value = json!({"machineID": machine.id, "drained": true});
            let text = format!("Machine {} is drained", legend(&machine, false));
            session.output().line(&text, &value)?;
        } else {
            tell_remaining(session, &machine, &remaining).await;
            status = 1;
        }
    }
    Ok(status)
}

async fn set_all(
    session: &Session<'_>,
    given: &[String],
    availability: Availability,
    word: &str,
) -> Result<Vec<Machine>, Failure> {
    let mut found = Vec::new();
    for beginning in given {
        found.push(session.find_machine(beginning).await?);
    }
    for machine in &found {
        let done = session
            .client()?
            .set_availability(&machine.id, availability)
            .await;
        done.map_err(Failure::on(format!(
            "Error changing machine {}",
            machine.id
        )))?;
        let value = json!({"machineID": machine.id, "availability": availability});
        let text = format!("Machine {} is {word}", legend(machine, false));
        session.output().line(&text, &value)?;
    }
    Ok(found)
}

/// The names of units that are on a machine still, global ones apart, when the time is over.
async fn wait_empty(
    session: &Session<'_>,
    machine: &Machine,
    patience: Patience,
) -> Result<Vec<String>, Failure> {
    let mut looks = Looks::new();
    let mut progress = Progress::new();
    let mut remaining = Vec::new();
    loop {
        let seen = remaining_on(session, machine).await;
        if let Some(seen) = looks.take(patience, seen)? {
            if seen.is_empty() {
                return Ok(Vec::new());
            }
            remaining = seen;
        }
        if looks.is_over(patience) {
            return Ok(remaining);
        }
        progress.show(|| {
            let machine = legend(machine, false);
            format!("drain: {} units are on {machine} still", remaining.len())
        });
        looks.pause().await;
    }
}

/// What is placed there, and what runs there still.
async fn remaining_on(
    session: &Session<'_>,
    machine: &Machine,
) -> Result<Vec<String>, fleet_api::ApiError> {
    let Ok(client) = session.client() else {
        return Ok(Vec::new()); // it was made when the machine was looked for
    };
    let units = client.units().await?;
    let global = |name: &str| {
        let unit = units.iter().find(|unit| unit.name == name);
        unit.is_some_and(Unit::is_global)
    };
    let placed = units
        .iter()
        .filter(|unit| unit.machine_id == machine.id && !unit.is_global());
    let mut names: Vec<String> = placed.map(|unit| unit.name.clone()).collect();
    for state in client.states(None).await? {
        let is_there = state.machine_id == machine.id && !global(&state.name);
        if is_there && !names.contains(&state.name) {
            names.push(state.name);
        }
    }
    Ok(names)
}

async fn tell_remaining(session: &Session<'_>, machine: &Machine, names: &[String]) {
    eprintln!(
        "Machine {} is not drained, {} units are there still:",
        legend(machine, false),
        names.len()
    );
    for name in names {
        eprintln!("{name}");
        let Ok(client) = session.client() else {
            continue;
        };
        if let Ok(Some(explanation)) = client.explain(name).await {
            for line in explain::text(session, &explanation).await.lines() {
                eprintln!("    {line}");
            }
        }
    }
}

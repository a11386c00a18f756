//! A global unit gets a new file on a few machines at a time.
//!
//! The server knows which machines have it; all others go on with the old one. If the unit is not well on one
//! of them, all machines have the old file again.

use fleet_api::{Rollout, Unit};
use fleet_model::State;
use serde_json::json;

use crate::arguments::Update;
use crate::connect::Session;
use crate::failure::Failure;
use crate::update::{batch_size, put, revert};
use crate::well::wait_well;

/// Runs it; the exit code.
///
/// # Errors
/// If the server cannot be asked or refuses the file.
pub(crate) async fn run(
    session: &Session<'_>,
    update: &Update,
    new: &Unit,
    old: &Unit,
) -> Result<u8, Failure> {
    if update.max_growth > 0 {
        return Err(Failure::new(
            "--max-growth: a global unit is on every machine already",
        ));
    }
    let machines = machines_of(session, old).await?;
    let batch = batch_size(machines.len(), update.min_alive, 0)?;
    let mut reached: Vec<String> = Vec::new();
    for machines in machines.chunks(batch) {
        reached.extend(machines.iter().cloned());
        let rollout = Some(Rollout {
            machines: reached.clone(),
        });
        put(
            session,
            &Unit {
                rollout,
                ..new.clone()
            },
        )
        .await?;
        if let Err(why) = wait_well(session, new, Some(machines), update).await? {
            eprintln!("Unit {} did not come up: {why}", old.name);
            return revert(session, update, std::slice::from_ref(old)).await;
        }
        for machine in machines {
            let value = json!({"name": old.name, "machineID": machine, "updated": true});
            let machine = session.machine_legend(machine, false).await;
            let text = format!("Unit {} updated on {machine}", old.name);
            session.output().line(&text, &value)?;
        }
    }
    // Machines that come later have it, too.
    put(session, new).await?;
    Ok(0)
}

/// The machines that have the unit, if it runs.
async fn machines_of(session: &Session<'_>, unit: &Unit) -> Result<Vec<String>, Failure> {
    if unit.desired_state != Some(State::Launched) {
        return Ok(Vec::new());
    }
    let states = session.client()?.states(Some(&unit.name)).await;
    let states = states.map_err(Failure::on(format!(
        "Error retrieving states of {}",
        unit.name
    )))?;
    let mut machines: Vec<String> = states.into_iter().map(|state| state.machine_id).collect();
    machines.sort_unstable();
    machines.dedup();
    Ok(machines)
}

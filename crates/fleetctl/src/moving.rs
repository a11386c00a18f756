//! `move`: a unit leaves its machine for another.
//!
//! fleetd refuses when no other machine can take it; nothing is stopped then.

use fleet_model::State;
use serde_json::json;

use crate::arguments::Move;
use crate::connect::Session;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::wait::{self, Looks, Patience};

/// Runs it.
pub(crate) async fn run(session: &Session<'_>, change: &Move) -> Result<u8, Failure> {
    let unit = session.existing_unit(&change.unit).await?;
    let name = &unit.name;
    if unit.is_global() {
        return Err(Failure::new(format!(
            "Unit {name} is global: it is on every machine that can take it"
        )));
    }
    if unit.machine_id.is_empty() {
        return Err(Failure::new(format!(
            "Unit {name} is on no machine; fleetctl explain {name} says why, fleetctl start {name} starts it"
        )));
    }
    let to = match &change.to {
        Some(beginning) => Some(session.find_machine(beginning).await?.id),
        None => None,
    };
    if to.as_ref() == Some(&unit.machine_id) {
        eprintln!("Unit {name} is there already");
        return Ok(0);
    }
    let moved = session.client()?.move_unit(name, to.as_deref()).await;
    moved.map_err(Failure::on(format!("Error moving unit {name}")))?;
    let patience = Patience::new(change.no_block, change.block_attempts);
    if patience == Patience::NoBlock {
        let value = json!({"name": name, "triggered": "move"});
        session
            .output()
            .line(&format!("Triggered unit {name} move"), &value)?;
        return Ok(0);
    }
    wait_elsewhere(session, name, &unit.machine_id, patience).await?;
    let wanted = unit.desired_state.unwrap_or(State::Launched);
    wait::for_state(
        session,
        std::slice::from_ref(name),
        wanted,
        "move",
        patience,
    )
    .await
}

/// Waits until a unit is placed on another machine than it was.
async fn wait_elsewhere(
    session: &Session<'_>,
    name: &str,
    from: &str,
    patience: Patience,
) -> Result<(), Failure> {
    let mut looks = Looks::new();
    let mut progress = Progress::new();
    while !looks.is_over(patience) {
        let unit = session.client()?.unit(name).await;
        if let Some(unit) = looks.take(patience, unit)? {
            let unit =
                unit.ok_or_else(|| Failure::new(format!("Unit {name} was destroyed meanwhile")))?;
            if !unit.machine_id.is_empty() && unit.machine_id != from {
                return Ok(());
            }
        }
        progress.show(|| format!("move: waiting for {name} to leave"));
        looks.pause().await;
    }
    Err(Failure::new(format!(
        "timed out waiting for unit {name} to leave its machine"
    )))
}

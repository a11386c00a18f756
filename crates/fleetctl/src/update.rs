//! `update`: many units get a new file, a few at a time.
//!
//! A unit is well when systemd calls it active with the new file (for `Type=notify`: once it said READY)
//! and it stays so for a while. If one is not, everything that was updated gets its old file again.
//! A global unit has one file for all machines: it changes on all of them at once, and goes back so.

use std::time::{Duration, Instant};

use fleet_api::{Unit, UnitState};
use serde_json::json;

use crate::arguments::Update;
use crate::connect::Session;
use crate::failure::Failure;
use crate::files;
use crate::names::{is_template, mangle, template};
use crate::progress::Progress;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// A unit that failed may be restarted by systemd at once.
const FAILED_AFTER: Duration = Duration::from_secs(2);

/// Runs it.
pub(crate) async fn run(session: &Session<'_>, update: &Update) -> Result<u8, Failure> {
    let file = update.file.to_string_lossy();
    let name = mangle(&file);
    let local = files::read(&files::local_path(&file), &name)?;
    let local = local.ok_or_else(|| Failure::new(format!("there is no file {file}")))?;
    let units = chosen(session, update, &name).await?;
    let batch = batch_size(units.len(), update.min_alive)?;
    if is_template(&name) {
        put(session, &renamed(&local, &name, None)).await?;
    }
    let mut done: Vec<Unit> = Vec::new();
    for units in units.chunks(batch) {
        for old in units {
            put(session, &renamed(&local, &old.name, Some(old))).await?;
            done.push(old.clone());
        }
        for old in units {
            let new = renamed(&local, &old.name, Some(old));
            if let Err(why) = wait_well(session, &new, update).await? {
                eprintln!("Unit {} did not come up: {why}", old.name);
                return revert(session, update, &done).await;
            }
            let value = json!({"name": old.name, "updated": true});
            let text = format!(
                "Unit {} updated ({} of {})",
                old.name,
                place(&done, old),
                done.len()
            );
            session.output().line(&text, &value)?;
        }
    }
    Ok(0)
}

fn place(done: &[Unit], unit: &Unit) -> usize {
    let found = done.iter().position(|one| one.name == unit.name);
    found.map_or(0, |index| index + 1)
}

/// The units that are to change: named ones, or the file's, or all instances of the file's template.
async fn chosen(session: &Session<'_>, update: &Update, name: &str) -> Result<Vec<Unit>, Failure> {
    let units = session.client()?.units().await;
    let units = units.map_err(Failure::on(
        "Error retrieving list of units from repository",
    ))?;
    let asked: Vec<String> = update.units.iter().map(|given| mangle(given)).collect();
    let is_chosen = |unit: &Unit| {
        if asked.is_empty() {
            unit.name == name && !is_template(name) || template(&unit.name).as_deref() == Some(name)
        } else {
            asked.contains(&unit.name)
        }
    };
    let found: Vec<Unit> = units.into_iter().filter(is_chosen).collect();
    let missing = asked
        .iter()
        .find(|name| !found.iter().any(|unit| &unit.name == *name));
    if let Some(missing) = missing {
        return Err(Failure::new(format!("Unit {missing} does not exist.")));
    }
    if found.is_empty() {
        return Err(Failure::new(format!(
            "the cluster has neither {name} nor an instance of it: nothing to update"
        )));
    }
    Ok(found)
}

/// How many units change at the same time, so that enough of them run.
fn batch_size(units: usize, min_alive: Option<usize>) -> Result<usize, Failure> {
    let min_alive = min_alive.unwrap_or(units.saturating_sub(1));
    if min_alive >= units && units > 0 && min_alive > 0 {
        return Err(Failure::new(format!(
            "--min-alive {min_alive}: with {units} units none could be replaced"
        )));
    }
    Ok(units.saturating_sub(min_alive).max(1))
}

fn renamed(local: &Unit, name: &str, old: Option<&Unit>) -> Unit {
    Unit {
        name: name.to_owned(),
        desired_state: old.map_or(Some(fleet_model::State::Inactive), |old| old.desired_state),
        ..local.clone()
    }
}

async fn put(session: &Session<'_>, unit: &Unit) -> Result<(), Failure> {
    let done = session.client()?.put_unit(unit).await;
    done.map_err(Failure::on(format!("Error updating unit {}", unit.name)))
}

/// Waits until a unit is well; why not, if it is not.
async fn wait_well(
    session: &Session<'_>,
    unit: &Unit,
    update: &Update,
) -> Result<Result<(), String>, Failure> {
    if unit.desired_state != Some(fleet_model::State::Launched) {
        return Ok(Ok(())); // it was not running, and is not to
    }
    let hash = unit.hash().unwrap_or_default();
    let deadline = Instant::now() + update.timeout;
    let mut well_since: Option<Instant> = None;
    let mut failed_since: Option<Instant> = None;
    let mut progress = Progress::new();
    loop {
        let states = session.client()?.states(Some(&unit.name)).await;
        // A fleetd that is away for a moment says nothing of the unit.
        let states = states.unwrap_or_default();
        let health = health(&states, &hash);
        well_since = well_since.filter(|_| health == Health::Well);
        failed_since = failed_since.filter(|_| health == Health::Failed);
        match health {
            Health::Well => {
                let since = *well_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= update.settle {
                    return Ok(Ok(()));
                }
            }
            Health::Failed => {
                let since = *failed_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= FAILED_AFTER {
                    return Ok(Err("it failed".to_owned()));
                }
            }
            Health::Coming => {}
        }
        // One that is well only has to stay so.
        if Instant::now() > deadline && health != Health::Well {
            let seconds = update.timeout.as_secs_f64();
            return Ok(Err(format!("it was not active within {seconds} s")));
        }
        progress.show(|| format!("update: waiting for {}", unit.name));
        tokio::time::sleep(PAUSE).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    Coming,
    Failed,
}

/// What the machines say of a unit with a file of that hash, all together.
fn health(states: &[UnitState], hash: &str) -> Health {
    let is_new = |state: &UnitState| state.hash == hash;
    let has_failed =
        |state: &UnitState| state.systemd_active_state == "failed" || !state.problem.is_empty();
    let failed = |state: &UnitState| is_new(state) && has_failed(state);
    if states.iter().any(failed) {
        return Health::Failed;
    }
    let is_well = |state: &UnitState| is_new(state) && state.systemd_active_state == "active";
    if !states.is_empty() && states.iter().all(is_well) {
        Health::Well
    } else {
        Health::Coming
    }
}

async fn revert(session: &Session<'_>, update: &Update, done: &[Unit]) -> Result<u8, Failure> {
    if update.no_revert {
        eprintln!("{} units are left as they are, by --no-revert", done.len());
        return Ok(1);
    }
    for old in done.iter().rev() {
        put(session, old).await?;
        if let Err(why) = wait_well(session, old, update).await? {
            eprintln!(
                "Unit {} has its old file again, and is not well: {why}",
                old.name
            );
        }
        let value = json!({"name": old.name, "reverted": true});
        let text = format!("Unit {} has its old file again", old.name);
        session.output().line(&text, &value)?;
    }
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_units_stay_alive() {
        let size = |units, min_alive| batch_size(units, min_alive).ok();
        assert_eq!(size(1, None), Some(1));
        assert_eq!(size(5, None), Some(1));
        assert_eq!(size(5, Some(2)), Some(3));
        assert_eq!(size(5, Some(0)), Some(5));
        assert_eq!(size(5, Some(5)), None);
    }

    #[test]
    fn every_machine_must_have_the_new_file() {
        let state = |hash: &str, active: &str| UnitState {
            hash: hash.to_owned(),
            systemd_active_state: active.to_owned(),
            ..UnitState::default()
        };
        let new = state("new", "active");
        assert_eq!(health(&[], "new"), Health::Coming);
        assert_eq!(health(std::slice::from_ref(&new), "new"), Health::Well);
        let old = state("old", "active");
        assert_eq!(health(&[new.clone(), old], "new"), Health::Coming);
        assert_eq!(health(&[state("old", "failed")], "new"), Health::Coming);
        assert_eq!(
            health(&[new, state("new", "failed")], "new"),
            Health::Failed
        );
        let mut refused = state("new", "inactive");
        refused.problem = "no".to_owned();
        assert_eq!(health(&[refused], "new"), Health::Failed);
    }
}

//! `update`: many units get a new file, a few at a time.
//!
//! If a unit does not come up well, everything that was updated gets its old file again. A global unit is
//! updated on a few machines at a time.

use fleet_api::Unit;
use serde_json::json;

use crate::arguments::Update;
use crate::connect::Session;
use crate::failure::Failure;
use crate::files;
use crate::growth::Growth;
use crate::names::{is_template, mangle, template};
use crate::rollout;
use crate::well::wait_well;

/// Runs it.
pub(crate) async fn run(session: &Session<'_>, update: &Update) -> Result<u8, Failure> {
    let file = update.file.to_string_lossy();
    let name = mangle(&file);
    let local = files::read(&files::local_path(&file), &name)?;
    let local = local.ok_or_else(|| Failure::new(format!("there is no file {file}")))?;
    let units = chosen(session, update, &name).await?;
    if let [global] = &units[..]
        && global.is_global()
    {
        let new = renamed(&local, &global.name, Some(global));
        return rollout::run(session, update, &new, global).await;
    }
    let batch = batch_size(units.len(), update.min_alive, update.max_growth)?;
    let growth = Growth::new(session, update, &local, &units).await?;
    if let Err(why) = growth.start(session, update).await? {
        eprintln!("{why}; nothing was updated");
        growth.end(session).await?;
        return Ok(1);
    }
    if is_template(&name) {
        put(session, &renamed(&local, &name, None)).await?;
    }
    let status = replace_all(session, update, &local, &units, batch).await;
    growth.end(session).await?;
    status
}

async fn replace_all(
    session: &Session<'_>,
    update: &Update,
    local: &Unit,
    units: &[Unit],
    batch: usize,
) -> Result<u8, Failure> {
    let mut done: Vec<Unit> = Vec::new();
    for units in units.chunks(batch) {
        for old in units {
            put(session, &renamed(local, &old.name, Some(old))).await?;
            done.push(old.clone());
        }
        for old in units {
            let new = renamed(local, &old.name, Some(old));
            if let Err(why) = wait_well(session, &new, None, update).await? {
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

/// How many change at the same time, so that enough run; `growth` run in addition meanwhile.
pub(crate) fn batch_size(
    count: usize,
    min_alive: Option<usize>,
    growth: usize,
) -> Result<usize, Failure> {
    // What grows need not shrink.
    let usual = if growth > 0 {
        count
    } else {
        count.saturating_sub(1)
    };
    let min_alive = min_alive.unwrap_or(usual);
    let most = count.saturating_add(growth);
    if min_alive >= most && count > 0 && min_alive > 0 {
        return Err(Failure::new(format!(
            "--min-alive {min_alive}: of {count}, and {growth} in addition, none could be replaced"
        )));
    }
    Ok(most.saturating_sub(min_alive).clamp(1, count.max(1)))
}

/// A file under a unit's name.
pub(crate) fn renamed(local: &Unit, name: &str, old: Option<&Unit>) -> Unit {
    Unit {
        name: name.to_owned(),
        desired_state: old.map_or(Some(fleet_model::State::Inactive), |old| old.desired_state),
        ..local.clone()
    }
}

/// Sends a unit.
pub(crate) async fn put(session: &Session<'_>, unit: &Unit) -> Result<(), Failure> {
    let done = session.client()?.put_unit(unit).await;
    done.map_err(Failure::on(format!("Error updating unit {}", unit.name)))
}

/// Gives units their old files again, unless they shall be left; the exit code.
pub(crate) async fn revert(
    session: &Session<'_>,
    update: &Update,
    done: &[Unit],
) -> Result<u8, Failure> {
    if update.no_revert {
        eprintln!("{} units are left as they are, by --no-revert", done.len());
        return Ok(1);
    }
    for old in done.iter().rev() {
        put(session, old).await?;
        if let Err(why) = wait_well(session, old, None, update).await? {
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
        let size = |units, min_alive, growth| batch_size(units, min_alive, growth).ok();
        assert_eq!(size(1, None, 0), Some(1));
        assert_eq!(size(5, None, 0), Some(1));
        assert_eq!(size(5, Some(2), 0), Some(3));
        assert_eq!(size(5, Some(0), 0), Some(5));
        assert_eq!(size(5, Some(5), 0), None);
        assert_eq!(size(5, None, 2), Some(2), "all five, at any time");
        assert_eq!(size(5, Some(5), 1), Some(1));
        assert_eq!(size(5, Some(4), 2), Some(3));
        assert_eq!(size(2, None, 9), Some(2));
        assert_eq!(size(5, Some(7), 2), None);
    }
}

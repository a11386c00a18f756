//! `--replace`: a unit of the cluster gets the local file's contents.
//!
//! As fleetctl did, a command replaces only units that are not further than what it leads to.

use fleet_api::Unit;
use fleet_model::State;
use serde_json::json;

use crate::connect::Session;
use crate::failure::Failure;
use crate::files;

/// Replaces a unit if the local file differs; whether it did.
pub(crate) async fn replace(
    session: &Session<'_>,
    given: &str,
    known: &Unit,
    wanted: State,
) -> Result<bool, Failure> {
    let Some((path, local)) = files::find(given)? else {
        session.debug(|| format!("no local file for {given}, nothing to replace"));
        return Ok(false);
    };
    if files::is_same(&local, known) {
        session.debug(|| format!("{} is what the cluster has", path.display()));
        return Ok(false);
    }
    let current = known.current_state.unwrap_or(State::Inactive);
    if !known.is_global() && current > wanted {
        return Err(Failure::new(refusal(&known.name, current)));
    }
    let unit = Unit {
        desired_state: Some(wanted),
        ..local
    };
    let replaced = session.client()?.put_unit(&unit).await;
    replaced.map_err(Failure::on(format!(
        "Error creating units: failed replacing unit {}",
        unit.name
    )))?;
    let value = json!({"name": unit.name, "replaced": true});
    let text = format!("Unit {} replaced by {}", unit.name, path.display());
    session.output().line(&text, &value)?;
    Ok(true)
}

fn refusal(name: &str, current: State) -> String {
    let command = match current {
        State::Launched => "start",
        State::Loaded | State::Inactive => "load",
    };
    format!(
        "Error creating units: can not replace Unit({name}) in state {current}, use '{command} --replace'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_may_is_named() {
        let text = refusal("a.service", State::Launched);
        assert!(text.ends_with("use 'start --replace'"), "{text}");
    }
}

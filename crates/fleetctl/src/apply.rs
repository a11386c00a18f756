//! `apply`: the cluster's units become those of a folder.
//!
//! Everything is read and checked before anything is changed; what is to be done can be looked at first.
//! A unit that is in the cluster already keeps what is wanted of it.

use std::collections::BTreeMap;

use fleet_api::{Explanation, Unit};
use fleet_model::State;
use serde_json::json;

use crate::arguments::Apply;
use crate::connect::Session;
use crate::difference::difference;
use crate::explain;
use crate::failure::Failure;
use crate::files;
use crate::names;
use crate::wait::{self, Patience};

/// What `--dry-run` exits with if there is anything to do.
const WOULD_CHANGE: u8 = 3;

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create(Unit),
    Change { old: Unit, new: Unit },
    Destroy(Unit),
}

/// Runs it.
pub(crate) async fn run(session: &Session<'_>, apply: &Apply) -> Result<u8, Failure> {
    let local = files::read_folder(&apply.folder)?;
    let known = session.client()?.units().await;
    let known = known.map_err(Failure::on(
        "Error retrieving list of units from repository",
    ))?;
    let steps = plan(local, known, apply.state, apply.prune);
    if apply.dry_run {
        return show(session, &steps).await;
    }
    let mut waiting: BTreeMap<State, Vec<String>> = BTreeMap::new();
    for step in steps {
        take(session, &step).await?;
        if let Step::Create(unit) | Step::Change { new: unit, .. } = step
            && !unit.is_global()
        {
            let wanted = unit.desired_state.unwrap_or(State::Inactive);
            waiting.entry(wanted).or_default().push(unit.name);
        }
    }
    let patience = Patience::new(apply.no_block, apply.block_attempts);
    let mut status = 0;
    for (wanted, names) in waiting {
        if wanted != State::Inactive && patience != Patience::NoBlock {
            let one = wait::for_state(session, &names, wanted, "apply", patience).await?;
            status = status.max(one);
        }
    }
    Ok(status)
}

/// First what is removed, so that its place is free.
fn plan(local: Vec<Unit>, known: Vec<Unit>, state: State, prune: bool) -> Vec<Step> {
    let mut known: BTreeMap<String, Unit> = known
        .into_iter()
        .map(|unit| (unit.name.clone(), unit))
        .collect();
    let templates: Vec<String> = local
        .iter()
        .filter(|unit| names::is_template(&unit.name))
        .map(|unit| unit.name.clone())
        .collect();
    let mut steps = Vec::new();
    for unit in local {
        match known.remove(&unit.name) {
            None => {
                let is_template = names::is_template(&unit.name);
                let desired_state = Some(if is_template { State::Inactive } else { state });
                steps.push(Step::Create(Unit {
                    desired_state,
                    ..unit
                }));
            }
            Some(old) if files::is_same(&old, &unit) => {}
            Some(old) => {
                let desired_state = old.desired_state.or(Some(State::Inactive));
                let new = Unit {
                    desired_state,
                    ..unit
                };
                steps.push(Step::Change { old, new });
            }
        }
    }
    if !prune {
        return steps;
    }
    // Instances of a template that stays were started by somebody else.
    let is_kept = |unit: &Unit| {
        names::template(&unit.name).is_some_and(|template| templates.contains(&template))
    };
    let gone = known.into_values().filter(|unit| !is_kept(unit));
    gone.map(Step::Destroy).chain(steps).collect()
}

async fn take(session: &Session<'_>, step: &Step) -> Result<(), Failure> {
    let (unit, word) = match step {
        Step::Create(unit) => (unit, "created"),
        Step::Change { new, .. } => (new, "changed"),
        Step::Destroy(unit) => (unit, "destroyed"),
    };
    let name = &unit.name;
    let what = format!("Error applying unit {name}");
    match step {
        Step::Create(_) | Step::Change { .. } => {
            let done = session.client()?.put_unit(unit).await;
            done.map_err(Failure::on(what))?;
        }
        Step::Destroy(_) => {
            let done = session.client()?.delete_unit(name).await;
            done.map_err(Failure::on(what))?;
        }
    }
    let value = json!({"name": name, "action": word});
    session
        .output()
        .line(&format!("Unit {name} {word}"), &value)?;
    Ok(())
}

async fn show(session: &Session<'_>, steps: &[Step]) -> Result<u8, Failure> {
    for step in steps {
        let (sign, word, unit, changes) = match step {
            Step::Create(unit) => {
                let text = files::text_of(unit)?;
                ("+", "create", unit, difference("", &text))
            }
            Step::Change { old, new } => {
                let (before, after) = (files::text_of(old)?, files::text_of(new)?);
                ("~", "change", new, difference(&before, &after))
            }
            Step::Destroy(unit) => ("-", "destroy", unit, String::new()),
        };
        let explanation = explain_step(session, step).await?;
        let mut text = format!("{sign} {word} {}\n", unit.name);
        for line in changes.lines() {
            text.extend(["    ", line, "\n"]);
        }
        if let Some(explanation) = explanation.as_ref().filter(|one| !one.is_placeable()) {
            text.push_str("    no machine can take it now:\n");
            for line in explain::text(session, explanation).await.lines() {
                text.extend(["      ", line, "\n"]);
            }
        }
        let value = json!({
            "name": unit.name,
            "action": word,
            "difference": changes,
            "explanation": explanation,
        });
        session.output().text(&text, &value)?;
    }
    Ok(if steps.is_empty() { 0 } else { WOULD_CHANGE })
}

/// Where it could run; a unit that fleetd would refuse is an error here already.
async fn explain_step(session: &Session<'_>, step: &Step) -> Result<Option<Explanation>, Failure> {
    let (Step::Create(unit) | Step::Change { new: unit, .. }) = step else {
        return Ok(None);
    };
    if names::is_template(&unit.name) {
        return Ok(None);
    }
    match session.client()?.explain_unstored(unit).await {
        Ok(explanation) => Ok(Some(explanation)),
        // An older fleetd, which explains nothing.
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(Failure::on(format!("Unit {} would be refused", unit.name))(
            error,
        )),
    }
}

#[cfg(test)]
mod tests {
    use fleet_api::UnitOption;

    use super::*;

    fn unit(name: &str, value: &str) -> Unit {
        Unit {
            name: name.to_owned(),
            options: vec![UnitOption::new("Service", "ExecStart", value)],
            ..Unit::default()
        }
    }

    fn known(name: &str, value: &str, state: State) -> Unit {
        Unit {
            desired_state: Some(state),
            ..unit(name, value)
        }
    }

    #[test]
    fn only_what_differs_is_touched() {
        let local = vec![
            unit("a.service", "/a"),
            unit("b.service", "/new"),
            unit("c.service", "/c"),
        ];
        let cluster = vec![
            known("a.service", "/a", State::Launched),
            known("b.service", "/old", State::Loaded),
            known("d.service", "/d", State::Launched),
        ];
        let steps = plan(local, cluster, State::Launched, false);
        let expected = [
            Step::Change {
                old: known("b.service", "/old", State::Loaded),
                new: known("b.service", "/new", State::Loaded),
            },
            Step::Create(known("c.service", "/c", State::Launched)),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn pruning_spares_instances_of_templates_that_stay() {
        let local = vec![unit("a@.service", "/a")];
        let cluster = vec![
            known("a@1.service", "/a", State::Launched),
            known("b@1.service", "/b", State::Launched),
        ];
        let steps = plan(local, cluster, State::Launched, true);
        let expected = [
            Step::Destroy(known("b@1.service", "/b", State::Launched)),
            Step::Create(known("a@.service", "/a", State::Inactive)),
        ];
        assert_eq!(steps, expected);
    }
}

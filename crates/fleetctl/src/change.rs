//! `submit`, `load`, `start`, `stop`, `unload`, `restart`, `destroy`.
//!
//! Each says what is wanted and waits for it. A unit that the cluster does not know is uploaded first.

use fleet_api::Unit;
use fleet_model::State;
use serde_json::json;

use crate::arguments::Change;
use crate::connect::Session;
use crate::failure::Failure;
use crate::files;
use crate::names::mangle;
use crate::replace;
use crate::wait::{self, Looks, Patience};

/// How long a machine may keep a destroyed unit before that is told.
const DESTROY_SECONDS: u64 = 30;

impl Change {
    fn patience(&self) -> Patience {
        Patience::new(self.no_block, self.block_attempts)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for given in &self.units {
            let name = mangle(given);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether there is anything to do; signatures are no more.
    fn check(&self) -> Result<bool, Failure> {
        if self.sign {
            return Err(Failure::with_status(
                "WARNING: The signed/verified units feature is DEPRECATED and cannot be used.",
                2,
            ));
        }
        if self.units.is_empty() {
            eprintln!("No units given");
        }
        Ok(!self.units.is_empty())
    }
}

/// `submit`
pub(crate) async fn submit(session: &Session<'_>, change: &Change) -> Result<u8, Failure> {
    if change.check()? {
        upload(session, change, State::Inactive).await?;
    }
    Ok(0)
}

/// `load`
pub(crate) async fn load(session: &Session<'_>, change: &Change) -> Result<u8, Failure> {
    bring_up(session, change, State::Loaded, "load").await
}

/// `start`
pub(crate) async fn start(session: &Session<'_>, change: &Change) -> Result<u8, Failure> {
    bring_up(session, change, State::Launched, "start").await
}

async fn bring_up(
    session: &Session<'_>,
    change: &Change,
    wanted: State,
    verb: &str,
) -> Result<u8, Failure> {
    if !change.check()? {
        return Ok(0);
    }
    let replaced = upload(session, change, wanted).await?;
    let mut waiting = Vec::new();
    for name in change.names() {
        let unit = session.client()?.unit(&name).await;
        let unit = unit.map_err(Failure::on(format!(
            "error retrieving unit {name} from registry"
        )))?;
        let unit = unit.ok_or_else(|| Failure::new(format!("unable to find unit {name}")))?;
        let is_new = unit.desired_state != Some(wanted);
        if is_new {
            set(session, &unit.name, wanted).await?;
        } else if !replaced.contains(&name) {
            session.debug(|| format!("Unit({name}) already {wanted}, skipping."));
            continue;
        }
        if unit.is_global() {
            triggered_global(session, &name, verb)?;
        } else {
            waiting.push(name);
        }
    }
    wait::for_state(session, &waiting, wanted, verb, change.patience()).await
}

/// Uploads what the cluster does not know, or what is to be replaced; the names of the latter.
async fn upload(
    session: &Session<'_>,
    change: &Change,
    wanted: State,
) -> Result<Vec<String>, Failure> {
    let mut replaced = Vec::new();
    for given in &change.units {
        let name = mangle(given);
        let known = session.client()?.unit(&name).await;
        let known = known.map_err(Failure::on(format!(
            "error retrieving Unit({name}) from Registry"
        )))?;
        match known {
            None => {
                let unit = files::find_anywhere(session, given).await?;
                create(session, unit).await?;
            }
            Some(known) if change.replace => {
                if replace::replace(session, given, &known, wanted).await? {
                    replaced.push(name);
                }
            }
            Some(known) => warn(given, &known)?,
        }
    }
    Ok(replaced)
}

async fn create(session: &Session<'_>, unit: Unit) -> Result<(), Failure> {
    let unit = Unit {
        desired_state: Some(State::Inactive),
        ..unit
    };
    let created = session.client()?.put_unit(&unit).await;
    created.map_err(Failure::on(format!(
        "Error creating units: failed creating unit {}",
        unit.name
    )))?;
    let value = json!({"name": unit.name, "currentState": "inactive"});
    session
        .output()
        .line(&format!("Unit {} inactive", unit.name), &value)?;
    Ok(())
}

fn warn(given: &str, known: &Unit) -> Result<(), Failure> {
    let path = files::local_path(given);
    let is_told = files::warn_if_different(known, &path, &known.name, "")?;
    if is_told || path.exists() {
        return Ok(());
    }
    if let Some(template) = crate::names::template(&known.name) {
        let path = path.with_file_name(template);
        files::warn_if_different(known, &path, &known.name, "template ")?;
    }
    Ok(())
}

/// `stop`
pub(crate) async fn stop(session: &Session<'_>, change: &Change) -> Result<u8, Failure> {
    let mut stopping = Vec::new();
    for unit in existing(session, change).await? {
        if unit.is_global() {
            set(session, &unit.name, State::Loaded).await?;
            triggered_global(session, &unit.name, "stop")?;
            continue;
        }
        match unit.current_state.unwrap_or(State::Inactive) {
            State::Inactive => {
                let name = &unit.name;
                let text = format!("Unable to stop unit {name} in state inactive");
                return Err(Failure::new(text));
            }
            State::Loaded if unit.desired_state != Some(State::Launched) => {
                session.debug(|| format!("Unit({}) already loaded, skipping.", unit.name));
            }
            State::Loaded | State::Launched => {
                set(session, &unit.name, State::Loaded).await?;
                stopping.push(unit.name);
            }
        }
    }
    wait::for_state(session, &stopping, State::Loaded, "stop", change.patience()).await
}

/// `unload`
pub(crate) async fn unload(session: &Session<'_>, change: &Change) -> Result<u8, Failure> {
    let mut unloading = Vec::new();
    for unit in existing(session, change).await? {
        let is_out = unit.desired_state.unwrap_or(State::Inactive) == State::Inactive
            && unit.current_state.unwrap_or(State::Inactive) == State::Inactive;
        if is_out {
            session.debug(|| format!("Unit({}) already inactive, skipping.", unit.name));
            continue;
        }
        set(session, &unit.name, State::Inactive).await?;
        if unit.is_global() {
            triggered_global(session, &unit.name, "unload")?;
        } else {
            unloading.push(unit.name);
        }
    }
    let patience = change.patience();
    wait::for_state(session, &unloading, State::Inactive, "unload", patience).await
}

/// `restart`, one after another.
pub(crate) async fn restart(session: &Session<'_>, change: &Change) -> Result<u8, Failure> {
    let units = existing(session, change).await?;
    if units.is_empty() {
        return Err(Failure::new("No units were found"));
    }
    let patience = change.patience();
    for unit in units {
        let name = std::slice::from_ref(&unit.name);
        let current = unit.current_state.unwrap_or(State::Inactive);
        if unit.is_global() {
            set(session, &unit.name, State::Loaded).await?;
            wait_everywhere(session, &unit.name, "inactive", patience).await?;
            set(session, &unit.name, State::Launched).await?;
            wait_everywhere(session, &unit.name, "active", patience).await?;
        } else if current == State::Inactive {
            let name = &unit.name;
            let text = format!("Unable to restart unit {name} in state inactive");
            return Err(Failure::new(text));
        } else {
            if current == State::Launched {
                set(session, &unit.name, State::Loaded).await?;
                if wait::for_state(session, name, State::Loaded, "stop", patience).await? != 0 {
                    return Ok(1);
                }
            }
            set(session, &unit.name, State::Launched).await?;
            if wait::for_state(session, name, State::Launched, "start", patience).await? != 0 {
                return Ok(1);
            }
        }
        let value = json!({"name": unit.name, "restarted": true});
        let text = format!("Unit({}) was restarted.", unit.name);
        session.output().line(&text, &value)?;
    }
    Ok(0)
}

/// Waits until every machine that has a global unit says so of it.
async fn wait_everywhere(
    session: &Session<'_>,
    name: &str,
    active: &str,
    patience: Patience,
) -> Result<(), Failure> {
    let mut looks = Looks::new();
    while !looks.is_over(patience) {
        let states = session.client()?.states(Some(name)).await;
        let states = looks.take(patience, states)?;
        let is_so = |state: &fleet_api::UnitState| {
            let now = state.systemd_active_state.as_str();
            now == active || (active == "inactive" && now == "failed")
        };
        if states.is_some_and(|states| states.iter().all(is_so)) {
            return Ok(());
        }
        looks.pause().await;
    }
    match patience {
        Patience::NoBlock => Ok(()),
        _ => Err(Failure::new(format!(
            "timed out waiting for unit {name} to be {active} on every machine"
        ))),
    }
}

/// `destroy`
pub(crate) async fn destroy(session: &Session<'_>, change: &Change) -> Result<u8, Failure> {
    if !change.check()? {
        return Ok(0);
    }
    let mut destroyed = Vec::new();
    for name in change.names() {
        let existed = session.client()?.delete_unit(&name).await;
        let existed = existed.map_err(Failure::on(format!("Error destroying units: {name}")))?;
        if existed {
            destroyed.push(name);
        } else {
            session.debug(|| format!("Unit({name}) does not exist, skipping."));
        }
    }
    let patience = match change.patience() {
        Patience::UntilHopeless => Patience::For(std::time::Duration::from_secs(DESTROY_SECONDS)),
        other => other,
    };
    let mut status = 0;
    for name in destroyed {
        if patience != Patience::NoBlock && !wait_gone(session, &name, patience).await? {
            status = 1;
        }
        let value = json!({"name": name, "destroyed": true});
        session
            .output()
            .line(&format!("Destroyed {name}"), &value)?;
    }
    Ok(status)
}

/// Waits until no machine has a destroyed unit; tells those that do.
async fn wait_gone(session: &Session<'_>, name: &str, patience: Patience) -> Result<bool, Failure> {
    let mut looks = Looks::new();
    let mut holders = Vec::new();
    while !looks.is_over(patience) {
        let states = session.client()?.states(Some(name)).await;
        if let Some(states) = looks.take(patience, states)? {
            if states.is_empty() {
                return Ok(true);
            }
            holders = states.into_iter().map(|state| state.machine_id).collect();
        }
        looks.pause().await;
    }
    eprintln!(
        "Unit {name} is destroyed, and {} still has it",
        holders.join(", ")
    );
    Ok(false)
}

/// Those of the named units that exist; the others are told.
async fn existing(session: &Session<'_>, change: &Change) -> Result<Vec<Unit>, Failure> {
    if !change.check()? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for name in change.names() {
        let unit = session.client()?.unit(&name).await;
        match unit.map_err(Failure::on(format!("Error retrieving unit {name}")))? {
            Some(unit) => found.push(unit),
            None => eprintln!("Unit {name} does not exist."),
        }
    }
    Ok(found)
}

/// Says what is wanted.
pub(crate) async fn set(session: &Session<'_>, name: &str, state: State) -> Result<(), Failure> {
    session.debug(|| format!("Setting target state of Unit({name}) to {state}"));
    let done = session.client()?.set_desired_state(name, state).await;
    done.map_err(Failure::on(format!("Error setting unit {name} to {state}")))
}

fn triggered_global(session: &Session<'_>, name: &str, verb: &str) -> Result<(), Failure> {
    let text = format!("Triggered global unit {name} {verb}");
    let value = json!({"name": name, "triggered": verb, "global": true});
    session.output().line(&text, &value)?;
    Ok(())
}

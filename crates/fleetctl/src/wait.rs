//! Waiting until units are what they shall be.
//!
//! It looks again and again, soon at first. A unit that no machine can take, that its machine cannot run, or
//! that systemd calls failed, is not waited for, unless the user says how long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleet_api::{Explanation, Unit, UnitState};
use fleet_model::State;
use serde_json::json;

use crate::connect::Session;
use crate::explain;
use crate::failure::Failure;
use crate::progress::Progress;

/// fleetctl looked so often in one attempt that it took this long.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The first pause between two looks, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(15);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// A state of things that ends the wait must hold so long: what is known may be a moment old.
const HOPELESS_AFTER: Duration = Duration::from_secs(1);
/// How long a fleetd that does not answer is asked again.
const SILENT_AFTER: Duration = Duration::from_secs(30);
/// More units than this are looked at in one list.
const SINGLE_MAX: usize = 16;

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    NoBlock,
    /// Until it is seen that it will not come.
    UntilHopeless,
    /// For ever.
    Endless,
    /// So long, whatever is seen.
    For(Duration),
}

impl Patience {
    /// From `--no-block` and `--block-attempts`.
    pub(crate) fn new(no_block: bool, attempts: Option<u32>) -> Self {
        match (no_block, attempts) {
            (true, _) => Self::NoBlock,
            (false, None) => Self::UntilHopeless,
            (false, Some(0)) => Self::Endless,
            (false, Some(attempts)) => Self::For(ATTEMPT.saturating_mul(attempts)),
        }
    }
}

/// Looks with longer and longer pauses.
pub(crate) struct Looks {
    begun: Instant,
    pause: Duration,
    answered: Instant,
    warned: Option<String>,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            pause: PAUSE_FIRST,
            answered: Instant::now(),
            warned: None,
        }
    }

    pub(crate) fn is_over(&self, patience: Patience) -> bool {
        match patience {
            Patience::NoBlock => true,
            Patience::UntilHopeless | Patience::Endless => false,
            Patience::For(time) => self.begun.elapsed() >= time,
        }
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = self.pause.mul_f64(1.5).min(PAUSE_MAX);
    }

    /// What was answered, or nothing for now; an error that will not pass by itself ends it.
    pub(crate) fn take<T>(
        &mut self,
        patience: Patience,
        answer: Result<T, fleet_api::ApiError>,
    ) -> Result<Option<T>, Failure> {
        let error = match answer {
            Ok(answer) => {
                self.answered = Instant::now();
                return Ok(Some(answer));
            }
            Err(error) => error,
        };
        let is_late = patience == Patience::UntilHopeless && self.answered.elapsed() > SILENT_AFTER;
        if !error.is_passing() || is_late {
            return Err(error.into());
        }
        let text = error.to_string();
        if self.warned.as_ref() != Some(&text) {
            eprintln!("WARNING: {text}; asking again");
            self.warned = Some(text);
        }
        Ok(None)
    }
}

/// A unit that is waited for.
struct Awaited {
    name: String,
    /// Since when it cannot come to be, as far as is seen.
    hopeless_since: Option<Instant>,
    explained: Instant,
}

/// What a look at a unit gave.
enum Look {
    Reached(Unit),
    NotYet(String),
    /// It may be a passing state.
    Failed(String),
    /// Its machine says why it cannot have it so.
    Hindered {
        machine: String,
        problem: String,
    },
    Gone,
}

/// Waits for units; tells each that is there. The exit code: 0 if all are.
pub(crate) async fn for_state(
    session: &Session<'_>,
    names: &[String],
    wanted: State,
    verb: &str,
    patience: Patience,
) -> Result<u8, Failure> {
    if patience == Patience::NoBlock {
        for name in names {
            let value = json!({"name": name, "triggered": verb});
            let text = format!("Triggered unit {name} {verb}");
            session.output().line(&text, &value)?;
        }
        return Ok(0);
    }
    let mut pending: Vec<Awaited> = names.iter().map(|name| Awaited::new(name)).collect();
    let mut looks = Looks::new();
    let mut progress = Progress::new();
    let mut status = 0;
    loop {
        let seen = look(session, &pending, wanted).await;
        if let Some(mut seen) = looks.take(patience, seen)? {
            let mut left = Vec::new();
            for mut awaited in pending {
                let look = seen.remove(&awaited.name).unwrap_or(Look::Gone);
                match awaited.judge(session, look, patience).await? {
                    Verdict::Wait => left.push(awaited),
                    Verdict::Reached(unit) => {
                        progress.clear();
                        tell(session, &unit, wanted).await?;
                    }
                    Verdict::Never(why) => {
                        progress.clear();
                        eprintln!("{why}");
                        status = 1;
                    }
                }
            }
            pending = left;
        }
        if pending.is_empty() {
            return Ok(status);
        }
        if looks.is_over(patience) {
            for awaited in &pending {
                progress.clear();
                let name = &awaited.name;
                eprintln!(
                    "Error waiting for units: timed out waiting for unit {name} to report state {wanted}"
                );
            }
            return Ok(1);
        }
        progress.show(|| format!("{verb}: waiting for {}", shown(&pending)));
        looks.pause().await;
    }
}

enum Verdict {
    Wait,
    Reached(Unit),
    Never(String),
}

impl Awaited {
    fn new(name: &str) -> Self {
        let explained = Instant::now();
        Self {
            name: name.to_owned(),
            hopeless_since: None,
            explained: explained.checked_sub(HOPELESS_AFTER).unwrap_or(explained),
        }
    }

    async fn judge(
        &mut self,
        session: &Session<'_>,
        look: Look,
        patience: Patience,
    ) -> Result<Verdict, Failure> {
        let name = &self.name;
        let hopeless = match look {
            Look::Reached(unit) => return Ok(Verdict::Reached(unit)),
            Look::Gone => Some(format!("Unit {name} was destroyed meanwhile")),
            Look::Failed(why) => Some(why),
            Look::Hindered { machine, problem } => {
                let machine = session.machine_legend(&machine, false).await;
                Some(format!("Unit {name} cannot be run by {machine}: {problem}"))
            }
            Look::NotYet(machine) if !machine.is_empty() => None,
            Look::NotYet(_) if patience != Patience::UntilHopeless => None,
            Look::NotYet(_) => match self.explain(session).await? {
                Some(why) => why,
                None => return Ok(Verdict::Wait),
            },
        };
        let Some(why) = hopeless else {
            self.hopeless_since = None;
            return Ok(Verdict::Wait);
        };
        let since = *self.hopeless_since.get_or_insert_with(Instant::now);
        let is_enough = patience == Patience::UntilHopeless && since.elapsed() >= HOPELESS_AFTER;
        Ok(if is_enough {
            Verdict::Never(why)
        } else {
            Verdict::Wait
        })
    }

    /// Asks where the unit could run: nothing if it was asked a moment ago, else why it cannot.
    async fn explain(&mut self, session: &Session<'_>) -> Result<Option<Option<String>>, Failure> {
        if self.explained.elapsed() < HOPELESS_AFTER / 4 {
            return Ok(None);
        }
        self.explained = Instant::now();
        // A server that explains nothing, as fleet's does, lets us wait.
        let Ok(Some(explanation)) = session.client()?.explain(&self.name).await else {
            return Ok(Some(None));
        };
        Ok(Some(hopelessness(session, &self.name, &explanation).await))
    }
}

async fn hopelessness(
    session: &Session<'_>,
    name: &str,
    explanation: &Explanation,
) -> Option<String> {
    if explanation.is_placeable() {
        return None;
    }
    let reasons = explain::text(session, explanation).await;
    Some(format!(
        "Unit {name} cannot be placed now; it will be once a machine can take it:\n{}",
        reasons.trim_end()
    ))
}

async fn look(
    session: &Session<'_>,
    pending: &[Awaited],
    wanted: State,
) -> Result<BTreeMap<String, Look>, fleet_api::ApiError> {
    let Ok(client) = session.client() else {
        return Ok(BTreeMap::new()); // it was made before there was anything to wait for
    };
    let mut units = BTreeMap::new();
    if pending.len() > SINGLE_MAX {
        let all = client.units().await?.into_iter();
        units.extend(all.map(|unit| (unit.name.clone(), unit)));
    } else {
        for awaited in pending {
            let unit = client.unit(&awaited.name).await?;
            units.extend(unit.map(|unit| (awaited.name.clone(), unit)));
        }
    }
    let mut states: Vec<UnitState> = Vec::new();
    if needs_states(wanted) && pending.len() > SINGLE_MAX {
        states = client.states(None).await?;
    }
    let mut seen = BTreeMap::new();
    for awaited in pending {
        let look = match units.remove(&awaited.name) {
            None => Look::Gone,
            Some(unit) => {
                if needs_states(wanted)
                    && pending.len() <= SINGLE_MAX
                    && !unit.machine_id.is_empty()
                {
                    states = client.states(Some(&unit.name)).await?;
                }
                judge(unit, wanted, &states)
            }
        };
        seen.insert(awaited.name.clone(), look);
    }
    Ok(seen)
}

/// Only of a unit that is on a machine can that machine say anything.
fn needs_states(wanted: State) -> bool {
    wanted != State::Inactive
}

/// Whether fleet says so.
fn has(unit: &Unit, wanted: State) -> bool {
    if unit.is_global() {
        return unit.desired_state == Some(wanted);
    }
    unit.current_state.unwrap_or(State::Inactive) == wanted
}

/// A unit that fleet calls launched is there once systemd calls it active; one that runs to its end
/// (`Type=oneshot`) once it was started. What its machine cannot do ends it.
fn judge(unit: Unit, wanted: State, states: &[UnitState]) -> Look {
    let is_here =
        |state: &&UnitState| state.name == unit.name && state.machine_id == unit.machine_id;
    let state = states.iter().find(is_here).filter(|_| !unit.is_global());
    let is_old = |state: &UnitState| {
        !state.hash.is_empty() && unit.hash().is_ok_and(|hash| hash != state.hash)
    };
    if !has(&unit, wanted) {
        return match state {
            Some(state) if !state.problem.is_empty() && !is_old(state) => hindered(state),
            _ => Look::NotYet(unit.machine_id),
        };
    }
    if wanted != State::Launched || unit.is_global() {
        return Look::Reached(unit);
    }
    let Some(state) = state else {
        return Look::NotYet(unit.machine_id);
    };
    match (
        state.systemd_load_state.as_str(),
        state.systemd_active_state.as_str(),
    ) {
        _ if is_old(state) => Look::NotYet(unit.machine_id),
        ("loaded", "active") => Look::Reached(unit),
        _ if !state.problem.is_empty() => hindered(state),
        (_, "failed") => Look::Failed(format!(
            "Unit {name} failed on {machine}; fleetctl status {name} and fleetctl journal {name} tell more",
            name = unit.name,
            machine = unit.machine_id
        )),
        (_, "inactive") if is_oneshot(&unit) => Look::Reached(unit),
        _ => Look::NotYet(unit.machine_id),
    }
}

fn hindered(state: &UnitState) -> Look {
    Look::Hindered {
        machine: state.machine_id.clone(),
        problem: state.problem.clone(),
    }
}

fn is_oneshot(unit: &Unit) -> bool {
    let of_key =
        |option: &&fleet_api::UnitOption| option.section == "Service" && option.name == "Type";
    let last = unit.all_options().filter(of_key).last();
    last.is_some_and(|option| option.value == "oneshot")
}

/// `Unit hello.service launched on 113f16a7.../172.17.8.103`
async fn tell(session: &Session<'_>, unit: &Unit, wanted: State) -> Result<(), Failure> {
    let state = unit.current_state.unwrap_or(wanted);
    let mut text = format!("Unit {} {state}", unit.name);
    if !unit.machine_id.is_empty() {
        let machine = session.machine_legend(&unit.machine_id, false).await;
        text = format!("{text} on {machine}");
    }
    let value = json!({
        "name": unit.name,
        "currentState": state.as_str(),
        "machineID": unit.machine_id,
    });
    session.output().line(&text, &value)?;
    Ok(())
}

fn shown(pending: &[Awaited]) -> String {
    match pending {
        [one] => one.name.clone(),
        [first, others @ ..] => format!("{} and {} more", first.name, others.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use fleet_api::UnitOption;

    use super::*;

    fn launched(options: Vec<UnitOption>) -> Unit {
        Unit {
            name: "a.service".to_owned(),
            machine_id: "m1".to_owned(),
            current_state: Some(State::Launched),
            desired_state: Some(State::Launched),
            options,
            ..Unit::default()
        }
    }

    fn state(active: &str) -> Vec<UnitState> {
        vec![UnitState {
            name: "a.service".to_owned(),
            machine_id: "m1".to_owned(),
            systemd_load_state: "loaded".to_owned(),
            systemd_active_state: active.to_owned(),
            ..UnitState::default()
        }]
    }

    fn oneshot() -> Vec<UnitOption> {
        vec![UnitOption::new("Service", "Type", "oneshot")]
    }

    #[test]
    fn launched_means_active() {
        let reached = |options, active| {
            matches!(
                judge(launched(options), State::Launched, &state(active)),
                Look::Reached(_)
            )
        };
        assert!(reached(Vec::new(), "active"));
        assert!(!reached(Vec::new(), "activating"));
        assert!(!reached(Vec::new(), "inactive"));
        assert!(reached(oneshot(), "inactive"));
        assert!(!reached(oneshot(), "activating"));
        let failed = judge(launched(oneshot()), State::Launched, &state("failed"));
        assert!(matches!(failed, Look::Failed(_)));
        let elsewhere = judge(launched(Vec::new()), State::Launched, &[]);
        assert!(matches!(elsewhere, Look::NotYet(_)));
    }

    #[test]
    fn what_hinders_its_machine_ends_the_wait() {
        let is_hindered = |unit: Unit, wanted, states: &[UnitState]| {
            matches!(judge(unit, wanted, states), Look::Hindered { .. })
        };
        let mut states = state("inactive");
        states[0].problem = "no".to_owned();
        assert!(is_hindered(launched(Vec::new()), State::Launched, &states));
        assert!(is_hindered(launched(oneshot()), State::Launched, &states));
        let unloaded = Unit {
            current_state: Some(State::Inactive),
            ..launched(Vec::new())
        };
        assert!(is_hindered(unloaded.clone(), State::Loaded, &states));
        states[0].hash = "0123".to_owned();
        assert!(
            !is_hindered(unloaded, State::Loaded, &states),
            "of an older file"
        );
        let mut elsewhere = state("inactive");
        elsewhere[0].machine_id = "m2".to_owned();
        elsewhere[0].problem = "no".to_owned();
        assert!(!is_hindered(
            launched(Vec::new()),
            State::Launched,
            &elsewhere
        ));
    }

    #[test]
    fn an_older_file_still_running_is_not_enough() {
        let mut states = state("active");
        states[0].hash = "0123".to_owned();
        let look = judge(launched(Vec::new()), State::Launched, &states);
        assert!(matches!(look, Look::NotYet(_)));
        states[0].hash = launched(Vec::new()).hash().expect("a hash");
        let look = judge(launched(Vec::new()), State::Launched, &states);
        assert!(matches!(look, Look::Reached(_)));
    }

    #[test]
    fn attempts_are_two_seconds_each() {
        assert_eq!(Patience::new(false, None), Patience::UntilHopeless);
        assert_eq!(Patience::new(false, Some(0)), Patience::Endless);
        assert_eq!(
            Patience::new(false, Some(5)),
            Patience::For(Duration::from_secs(10))
        );
        assert_eq!(Patience::new(true, Some(5)), Patience::NoBlock);
    }
}

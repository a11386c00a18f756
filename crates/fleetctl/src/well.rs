//! Whether a unit that got a new file is well.
//!
//! It is when systemd calls it active with that file (for `Type=notify`: once it said READY) and it stays so
//! for a while. What is done about one that is not is not decided here.

use std::time::{Duration, Instant};

use fleet_api::{Unit, UnitState};

use crate::arguments::Update;
use crate::connect::Session;
use crate::failure::Failure;
use crate::progress::Progress;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// A unit that failed may be restarted by systemd at once.
const FAILED_AFTER: Duration = Duration::from_secs(2);

/// Waits until a unit is well, on these machines or wherever it is; why not, if it is not.
pub(crate) async fn wait_well(
    session: &Session<'_>,
    unit: &Unit,
    machines: Option<&[String]>,
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
        let mut states = states.unwrap_or_default();
        states.retain(|state| machines.is_none_or(|ids| ids.contains(&state.machine_id)));
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

#[cfg(test)]
mod tests {
    use super::*;

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

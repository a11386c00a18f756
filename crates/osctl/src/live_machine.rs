//! The running machine, as the health check sees it.
//!
//! It only gathers; [`crate::health_check`] judges.
use std::error::Error;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::health_check::{HealthView, RequiredUnit};
use crate::health_sequence::{Clock, ViewSource};
use crate::network::NetworkState;
use crate::systemd::{Systemd, UnitState};
use machine_facts::system_root::SystemRoot;

/// `CLOCK_BOOTTIME`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BootClock;

impl Clock for BootClock {
    fn since_boot(&self) -> Duration {
        // The clock is never negative.
        clock_gettime(ClockId::Boottime)
            .try_into()
            .unwrap_or_default()
    }

    fn sleep(&mut self, duration: Duration) {
        thread::sleep(duration);
    }
}

/// systemd and the network.
#[derive(Debug)]
pub(crate) struct LiveMachine {
    /// Where `/` is.
    pub(crate) root: SystemRoot,
    /// The connection to systemd.
    pub(crate) systemd: Systemd,
    /// The units that must be active.
    pub(crate) required_units: Vec<String>,
}

impl ViewSource for LiveMachine {
    fn view(&mut self) -> Result<HealthView, Box<dyn Error>> {
        let failed = self.systemd.failed_units()?;
        let required = self.systemd.units(&self.required_units)?;
        let network = NetworkState::read(&self.root)?;
        Ok(assemble(failed, required, network))
    }
}

fn assemble(failed: Vec<UnitState>, required: Vec<UnitState>, network: NetworkState) -> HealthView {
    let with_jobs = required.iter().filter(|unit| unit.has_job);
    HealthView {
        failed_units: failed.into_iter().map(|unit| unit.name).collect(),
        network,
        queued_jobs: with_jobs.map(|unit| unit.name.clone()).collect(),
        required_units: required.into_iter().map(required_unit).collect(),
    }
}

fn required_unit(unit: UnitState) -> RequiredUnit {
    RequiredUnit {
        name: unit.name,
        load_state: unit.load_state,
        active_state: unit.active_state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health_check::Verdict;

    fn unit(name: &str, active_state: &str, has_job: bool) -> UnitState {
        UnitState {
            name: name.to_owned(),
            load_state: "loaded".to_owned(),
            active_state: active_state.to_owned(),
            has_job,
        }
    }

    #[test]
    fn jobs_are_those_of_required_units() {
        let required = vec![
            unit("a.service", "inactive", true),
            unit("b.socket", "active", false),
        ];
        let failed = vec![unit("c.service", "failed", true)];
        let view = assemble(failed, required, NetworkState::Configured);
        assert_eq!(view.failed_units, ["c.service"]);
        assert_eq!(Vec::from_iter(&view.queued_jobs), ["a.service"]);
        let expected = vec![
            "c.service has failed".to_owned(),
            "a.service is inactive".to_owned(),
        ];
        assert_eq!(view.verdict(), Verdict::Unhealthy(expected));
    }
}

//! Is the machine healthy? A pure function of what was seen.
//!
//! Local facts only: a power cut of a whole cluster must not make every machine roll back. It
//! knows no time; [`crate::health_sequence`] decides how long to wait.
use std::collections::BTreeSet;

use crate::network::NetworkState;

/// The unit that runs the check: that an earlier one failed says nothing about this one.
const OWN_UNIT: &str = "keelson-health.service";

/// A unit that must be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequiredUnit {
    /// Its name, such as `containerd.socket`.
    pub(crate) name: String,
    /// systemd's `LoadState`.
    pub(crate) load_state: String,
    /// systemd's `ActiveState`.
    pub(crate) active_state: String,
}

/// The state of the machine at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthView {
    /// The names of all units that have failed.
    pub(crate) failed_units: Vec<String>,
    /// The network.
    pub(crate) network: NetworkState,
    /// The units that must be active.
    pub(crate) required_units: Vec<RequiredUnit>,
    /// The required units that systemd has a job for.
    pub(crate) queued_jobs: BTreeSet<String>,
}

/// What to think of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything is as it should be; the notes say what was not asked for.
    Healthy(Vec<String>),
    /// Something is still on its way.
    Waiting(Vec<String>),
    /// Something is wrong, and nothing is on its way to put it right; the worst comes first.
    Unhealthy(Vec<String>),
}

/// One complaint.
enum Complaint {
    Wrong(String),
    NotYet(String),
}

impl HealthView {
    /// Judges what was seen.
    pub(crate) fn verdict(&self) -> Verdict {
        let (mut wrong, mut not_yet) = (Vec::new(), Vec::new());
        for complaint in self.complaints() {
            match complaint {
                Complaint::Wrong(reason) => wrong.push(reason),
                Complaint::NotYet(reason) => not_yet.push(reason),
            }
        }
        if !wrong.is_empty() {
            wrong.append(&mut not_yet);
            return Verdict::Unhealthy(wrong);
        }
        if !not_yet.is_empty() {
            return Verdict::Waiting(not_yet);
        }
        Verdict::Healthy(self.notes())
    }

    fn complaints(&self) -> Vec<Complaint> {
        let failed = self.failed_units.iter().filter(|name| *name != OWN_UNIT);
        let mut complaints: Vec<_> = failed
            .map(|name| Complaint::Wrong(format!("{name} has failed")))
            .collect();
        let required = self.required_units.iter();
        complaints.extend(required.filter_map(|unit| self.unit_complaint(unit)));
        match &self.network {
            NetworkState::Configured | NetworkState::NoInterfaces => {}
            NetworkState::Pending(why) => {
                complaints.push(Complaint::NotYet(format!("no network: {why}")));
            }
            NetworkState::Failed(why) => {
                complaints.push(Complaint::Wrong(format!("no network: {why}")));
            }
        }
        complaints
    }

    fn unit_complaint(&self, unit: &RequiredUnit) -> Option<Complaint> {
        let name = &unit.name;
        let state = unit.active_state.as_str();
        match state {
            "active" => None,
            // It stands among the failed units.
            "failed" if self.failed_units.contains(name) => None,
            "inactive" if unit.load_state == "not-found" => {
                Some(Complaint::Wrong(format!("{name} does not exist")))
            }
            "inactive" if !self.queued_jobs.contains(name) => Some(Complaint::Wrong(format!(
                "{name} is inactive and nothing starts it"
            ))),
            "failed" | "maintenance" => Some(Complaint::Wrong(format!("{name} is {state}"))),
            _ => Some(Complaint::NotYet(format!("{name} is {state}"))),
        }
    }

    fn notes(&self) -> Vec<String> {
        match self.network {
            NetworkState::NoInterfaces => vec!["this machine has no network interface".to_owned()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

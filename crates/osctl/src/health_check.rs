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
pub(crate) mod tests {
    use super::*;

    pub(crate) fn healthy() -> HealthView {
        HealthView {
            failed_units: Vec::new(),
            network: NetworkState::Configured,
            required_units: vec![unit("ssh.socket", "active"), unit("kvd.service", "active")],
            queued_jobs: BTreeSet::new(),
        }
    }

    fn unit(name: &str, active_state: &str) -> RequiredUnit {
        RequiredUnit {
            name: name.to_owned(),
            load_state: "loaded".to_owned(),
            active_state: active_state.to_owned(),
        }
    }

    fn with_unit(active_state: &str) -> HealthView {
        HealthView {
            required_units: vec![unit("kvd.service", active_state)],
            ..healthy()
        }
    }

    fn waiting(reason: &str) -> Verdict {
        Verdict::Waiting(vec![reason.to_owned()])
    }

    fn unhealthy(reason: &str) -> Verdict {
        Verdict::Unhealthy(vec![reason.to_owned()])
    }

    #[test]
    fn all_is_well_without_complaints() {
        assert_eq!(healthy().verdict(), Verdict::Healthy(Vec::new()));
        let alone = HealthView {
            network: NetworkState::NoInterfaces,
            ..healthy()
        };
        let note = "this machine has no network interface".to_owned();
        assert_eq!(alone.verdict(), Verdict::Healthy(vec![note]));
    }

    #[test]
    fn a_failed_unit_is_unhealthy_but_for_the_check_itself() {
        let mut view = healthy();
        view.failed_units = vec![OWN_UNIT.to_owned()];
        assert_eq!(view.verdict(), Verdict::Healthy(Vec::new()));
        view.failed_units.push("a.service".to_owned());
        assert_eq!(view.verdict(), unhealthy("a.service has failed"));
    }

    #[test]
    fn a_required_unit_on_its_way_is_waited_for() {
        for state in ["activating", "reloading", "deactivating", "refreshing"] {
            let expected = waiting(&format!("kvd.service is {state}"));
            assert_eq!(with_unit(state).verdict(), expected);
        }
        let mut view = with_unit("inactive");
        view.queued_jobs.insert("kvd.service".to_owned());
        assert_eq!(view.verdict(), waiting("kvd.service is inactive"));
    }

    #[test]
    fn a_required_unit_that_nothing_starts_is_unhealthy() {
        let expected = unhealthy("kvd.service is inactive and nothing starts it");
        assert_eq!(with_unit("inactive").verdict(), expected);
        let mut view = with_unit("inactive");
        view.required_units[0].load_state = "not-found".to_owned();
        assert_eq!(view.verdict(), unhealthy("kvd.service does not exist"));
    }

    #[test]
    fn a_required_unit_that_failed_is_named_once() {
        let mut view = with_unit("failed");
        assert_eq!(view.verdict(), unhealthy("kvd.service is failed"));
        view.failed_units = vec!["kvd.service".to_owned()];
        assert_eq!(view.verdict(), unhealthy("kvd.service has failed"));
    }

    #[test]
    fn the_network_is_waited_for_unless_it_failed() {
        let network = |network| HealthView {
            network,
            ..healthy()
        };
        let why = "eth0 is configuring (degraded)".to_owned();
        assert_eq!(
            network(NetworkState::Pending(why.clone())).verdict(),
            waiting("no network: eth0 is configuring (degraded)")
        );
        assert_eq!(
            network(NetworkState::Failed(why)).verdict(),
            unhealthy("no network: eth0 is configuring (degraded)")
        );
    }

    #[test]
    fn what_is_wrong_comes_before_what_is_late() {
        let mut view = with_unit("activating");
        view.network = NetworkState::Failed("x".to_owned());
        let Verdict::Unhealthy(reasons) = view.verdict() else {
            panic!("healthy");
        };
        assert_eq!(reasons, ["no network: x", "kvd.service is activating"]);
    }
}

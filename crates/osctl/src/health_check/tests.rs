//! Machines in every state, and what is to be thought of them.
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

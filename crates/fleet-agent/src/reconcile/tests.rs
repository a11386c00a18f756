//! Each rule of [`super::next_step`] by itself, and all of them together until nothing is left to do.

use super::*;

const REGISTERED: Standing = Standing::Registered;
const CUT: Standing = Standing::Cut;

fn wanted(hash: &str, desired: State) -> Wanted {
    Wanted {
        hash: hash.to_owned(),
        desired,
        replacing: Vec::new(),
        on_partition: OnPartition::Keep,
        source: Source::Store {
            revision: 1,
            is_refused: false,
        },
    }
}

fn held(hash: &str, is_launched: bool) -> HeldUnit {
    HeldUnit {
        hash: hash.to_owned(),
        is_launched,
        on_partition: OnPartition::Keep,
        is_installable: false,
    }
}

fn announced(hash: &str) -> Presence {
    Presence::Announced(Announced {
        hash: hash.to_owned(),
        revision: 1,
    })
}

fn running() -> Case {
    Case {
        wish: Wish::Unit(wanted("a", State::Launched)),
        held: Some(held("a", true)),
        presence: announced("a"),
        activity: Activity::Running,
    }
}

/// Carries steps out as if everybody obeyed at once.
fn settle(case: &mut Case, standing: Standing) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..20 {
        let step = next_step(case, standing, false);
        if step == Step::Rest || step == Step::Forget {
            return steps;
        }
        obey(case, step);
        steps.push(step);
    }
    panic!("it never rests: {steps:?}");
}

fn obey(case: &mut Case, step: Step) {
    let hash = match &case.wish {
        Wish::Unit(wanted) => wanted.hash.clone(),
        _ => String::new(),
    };
    let launch = |case: &mut Case, is: bool, activity| {
        if let Some(held) = &mut case.held {
            held.is_launched = is;
        }
        case.activity = activity;
    };
    match step {
        Step::Announce => case.presence = announced(&hash),
        Step::Load => case.held = Some(held(&hash, false)),
        Step::Start => launch(case, true, Activity::Running),
        Step::Stop => launch(case, false, Activity::Stopped),
        Step::Unload => case.held = None,
        Step::Withdraw => case.presence = Presence::Absent,
        Step::Rest | Step::Forget => {}
    }
}

#[test]
fn a_unit_is_announced_before_anything_is_done_with_it() {
    let mut case = Case {
        wish: Wish::Unit(wanted("a", State::Launched)),
        ..Case::default()
    };
    let steps = settle(&mut case, REGISTERED);
    assert_eq!(steps, [Step::Announce, Step::Load, Step::Start]);
    let mut case = Case {
        wish: Wish::Unit(wanted("a", State::Loaded)),
        ..Case::default()
    };
    assert_eq!(settle(&mut case, REGISTERED), [Step::Announce, Step::Load]);
}

#[test]
fn a_unit_is_withdrawn_after_it_was_stopped() {
    let mut case = running();
    case.wish = Wish::Nothing;
    let steps = settle(&mut case, REGISTERED);
    assert_eq!(steps, [Step::Stop, Step::Unload, Step::Withdraw]);
    case.held = None;
    assert_eq!(next_step(&case, REGISTERED, false), Step::Forget);
    let mut stopping = running();
    stopping.wish = Wish::Nothing;
    stopping.activity = Activity::Stopping;
    assert_eq!(next_step(&stopping, REGISTERED, false), Step::Rest);
}

#[test]
fn other_contents_are_loaded_once_the_old_ones_have_stopped() {
    let mut case = running();
    case.wish = Wish::Unit(wanted("b", State::Launched));
    let steps = settle(&mut case, REGISTERED);
    assert_eq!(steps, [Step::Stop, Step::Announce, Step::Load, Step::Start]);
}

#[test]
fn a_unit_that_runs_is_adopted() {
    let mut case = running();
    assert_eq!(settle(&mut case, REGISTERED), []);
    case.presence = Presence::Absent;
    assert_eq!(settle(&mut case, REGISTERED), [Step::Announce]);
    // One that has ended by itself is not started again.
    case.activity = Activity::Stopped;
    assert_eq!(settle(&mut case, REGISTERED), []);
}

#[test]
fn a_unit_that_shall_only_be_loaded_is_stopped_if_it_was_launched() {
    let mut case = running();
    case.wish = Wish::Unit(wanted("a", State::Loaded));
    assert_eq!(settle(&mut case, REGISTERED), [Step::Stop]);
    // What systemd started for another unit's sake is left alone.
    case.activity = Activity::Running;
    assert_eq!(settle(&mut case, REGISTERED), []);
    // Launched again after that.
    case.wish = Wish::Unit(wanted("a", State::Launched));
    assert_eq!(settle(&mut case, REGISTERED), [Step::Start]);
}

#[test]
fn nothing_is_done_until_somebody_says_what_is_wanted() {
    let mut case = running();
    for standing in [Standing::Waiting, REGISTERED, CUT] {
        case.wish = Wish::Unknown;
        assert_eq!(next_step(&case, standing, false), Step::Rest);
    }
    case.wish = Wish::Nothing;
    assert_eq!(next_step(&case, Standing::Waiting, false), Step::Rest);
}

#[test]
fn nothing_is_done_with_a_unit_before_systemd_was_asked() {
    let mut case = running();
    case.activity = Activity::Unknown;
    let mut other = case.clone();
    other.wish = Wish::Unit(wanted("b", State::Launched));
    let mut unwanted = case.clone();
    unwanted.wish = Wish::Nothing;
    for case in [case, other, unwanted] {
        assert_eq!(next_step(&case, REGISTERED, false), Step::Rest, "{case:?}");
        assert!(case.is_in_the_way());
    }
}

#[test]
fn a_refused_announcement_is_not_repeated() {
    let mut wanted = wanted("a", State::Launched);
    wanted.source = Source::Store {
        revision: 1,
        is_refused: true,
    };
    let case = Case {
        wish: Wish::Unit(wanted),
        ..Case::default()
    };
    assert_eq!(next_step(&case, REGISTERED, false), Step::Rest);
}

#[test]
fn a_unit_waits_for_those_it_replaces() {
    let mut case = running();
    case.activity = Activity::Stopped;
    case.held = Some(held("a", false));
    assert_eq!(next_step(&case, REGISTERED, true), Step::Rest);
    assert_eq!(next_step(&case, REGISTERED, false), Step::Start);
    assert!(running().is_in_the_way());
    let mut gone = running();
    gone.activity = Activity::Stopped;
    assert!(gone.is_in_the_way(), "until it is withdrawn");
    gone.presence = Presence::Absent;
    assert!(!gone.is_in_the_way());
}

#[test]
fn a_cut_machine_keeps_what_runs_and_starts_nothing_the_store_does_not_know_of() {
    let mut case = running();
    assert_eq!(settle(&mut case, CUT), []);
    case.held = Some(held("a", false));
    case.activity = Activity::Stopped;
    assert_eq!(
        settle(&mut case.clone(), CUT),
        [Step::Start],
        "announced before"
    );
    case.presence = Presence::Absent;
    assert_eq!(settle(&mut case, CUT), []);
}

#[test]
fn a_machine_booted_without_the_store_starts_what_may_run_twice() {
    let mut wanted = wanted("a", State::Launched);
    wanted.source = Source::Cache;
    let mut case = Case {
        wish: Wish::Unit(wanted.clone()),
        ..Case::default()
    };
    assert_eq!(settle(&mut case.clone(), Standing::Waiting), []);
    assert_eq!(settle(&mut case.clone(), REGISTERED), []);
    assert_eq!(settle(&mut case, CUT), [Step::Load, Step::Start]);
    wanted.on_partition = OnPartition::Stop;
    let mut case = Case {
        wish: Wish::Unit(wanted),
        ..Case::default()
    };
    assert_eq!(settle(&mut case, CUT), []);
}

#[test]
fn what_stops_on_partitions_is_stopped_and_started_again_after_it_was_announced_anew() {
    let mut case = running();
    if let Some(held) = &mut case.held {
        held.on_partition = OnPartition::Stop;
    }
    assert_eq!(settle(&mut case.clone(), Standing::Waiting), []);
    assert_eq!(settle(&mut case, CUT), [Step::Stop]);
    case.presence = Presence::Absent;
    let steps = settle(&mut case.clone(), REGISTERED);
    assert_eq!(steps, [Step::Announce, Step::Start]);
    case.wish = Wish::Unknown;
    case.activity = Activity::Running;
    assert_eq!(next_step(&case, CUT, false), Step::Stop, "wanted or not");
}

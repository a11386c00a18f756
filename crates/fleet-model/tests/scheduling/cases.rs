//! One rule a test.
//!
//! Combinations of rules are in `model`.

use fleet_model::{
    Availability, Decision, Explanation, Fence, MachineId, Moving, Refusal, Removal, State, View,
    explain, schedule,
};

use crate::fixture::{machine, name, places, set, settle, unit, view};

#[test]
fn least_loaded_then_by_id() {
    let mut view = view(
        &["m1", "m2"],
        &[("a.service", ""), ("b.service", ""), ("c.service", "")],
    );
    settle(&mut view);
    assert_eq!(places(&view, "a.service"), ["m1"]);
    assert_eq!(places(&view, "b.service"), ["m2"]);
    assert_eq!(places(&view, "c.service"), ["m1"]);
    view.insert_machine(machine("m3", &[]));
    assert_eq!(settle(&mut view), [], "nothing is moved for balance");
}

#[test]
fn machines_by_id_and_metadata() {
    let mut view = view(&["aaaaaaaabbbb"], &[("id.service", "MachineID=aaaaaaaa")]);
    view.insert_machine(machine("ssd", &[("disk", "ssd"), ("zone", "b")]));
    view.insert_machine(machine("hdd", &[("disk", "hdd"), ("zone", "a")]));
    view.insert_unit(unit(
        "m.service",
        "MachineMetadata=\"zone=a\" \"zone=b\" \"disk=ssd\"",
    ));
    view.insert_unit(unit("n.service", "MachineMetadata=zone=c"));
    settle(&mut view);
    assert_eq!(places(&view, "id.service"), ["aaaaaaaabbbb"]);
    assert_eq!(places(&view, "m.service"), ["ssd"]);
    assert_eq!(schedule(&view).unplaced, [name("n.service")]);
}

#[test]
fn pairs_move_together() {
    let units = [
        ("ping.service", ""),
        ("pong.service", "MachineOf=ping.service"),
    ];
    let mut view = view(&["m1", "m2"], &units);
    settle(&mut view);
    assert_eq!(places(&view, "pong.service"), ["m1"]);
    set(&mut view, "m1", Availability::Lost(Fence::Elapsed));
    settle(&mut view);
    assert_eq!(places(&view, "ping.service"), ["m2"]);
    assert_eq!(places(&view, "pong.service"), ["m2"]);
}

#[test]
fn a_unit_leaves_when_asked_to() {
    let mut view = view(&["m1", "m2", "m3"], &[("a.service", ""), ("b.service", "")]);
    settle(&mut view);
    let ask = |view: &mut View, to: Option<&str>| {
        let mut unit = view.unit(&name("a.service")).unwrap().clone();
        let from = unit.placed_on.first().unwrap().clone();
        let to = to.map(MachineId::new);
        unit.moving = Some(Moving { from, to });
        view.insert_unit(unit);
    };
    ask(&mut view, Some("m2"));
    let first = schedule(&view).decisions;
    assert!(
        matches!(
            &first[..],
            [Decision::Remove {
                reason: Removal::Moving,
                ..
            }]
        ),
        "it is placed again only when it is gone: {first:?}"
    );
    settle(&mut view);
    assert_eq!(
        places(&view, "a.service"),
        ["m2"],
        "not the least loaded one"
    );
    ask(&mut view, None);
    settle(&mut view);
    assert_eq!(places(&view, "a.service"), ["m1"]);
    set(&mut view, "m2", Availability::Cordoned);
    ask(&mut view, Some("m2"));
    settle(&mut view);
    assert_eq!(
        places(&view, "a.service"),
        ["m3"],
        "it asked for one that cannot"
    );
    set(&mut view, "m1", Availability::Cordoned);
    ask(&mut view, None);
    settle(&mut view);
    assert_eq!(
        places(&view, "a.service"),
        ["m3"],
        "no other one can have it"
    );
    assert_eq!(view.unit(&name("a.service")).unwrap().moving, None);
}

#[test]
fn circles_are_explained() {
    let units = [
        ("a.service", "MachineOf=b.service"),
        ("b.service", "MachineOf=c.service"),
        ("c.service", "MachineOf=a.service"),
        ("d.service", "MachineOf=a.service"),
    ];
    let view = view(&["m1"], &units);
    let found = schedule(&view);
    assert_eq!((found.decisions.len(), found.unplaced.len()), (0, 4));
    let cycle = ["a.service", "b.service", "c.service"].map(name).to_vec();
    assert_eq!(
        explain(&view, &name("b.service")),
        Explanation::Cycle(cycle)
    );
    assert!(!explain(&view, &name("d.service")).is_placeable());
}

#[test]
fn conflicts_hold_both_ways_and_the_freed_place_is_taken() {
    let units = [
        ("hello.service", ""),
        ("other.service", "Conflicts=hel*.service"),
    ];
    let mut view = view(&["m1"], &units);
    settle(&mut view);
    assert_eq!(schedule(&view).unplaced, [name("other.service")]);
    view.remove_unit(&name("hello.service"));
    settle(&mut view);
    view.insert_unit(unit("hello.service", ""));
    assert_eq!(settle(&mut view), []);
    let Explanation::Machines(machines) = explain(&view, &name("hello.service")) else {
        panic!("no machines");
    };
    let conflict = Refusal::Conflict {
        with: name("other.service"),
        declared_by: name("other.service"),
        pattern: "hel*.service".to_owned(),
    };
    assert_eq!(machines, [(MachineId::new("m1"), vec![conflict])]);
}

#[test]
fn a_replacer_takes_the_machine() {
    let mut view = view(&["m1", "m2"], &[("old.service", "")]);
    settle(&mut view);
    view.insert_unit(unit("kick.service", "Replaces=old.service"));
    settle(&mut view);
    assert_eq!(places(&view, "kick.service"), ["m1"]);
    assert_eq!(places(&view, "old.service"), ["m2"]);
}

#[test]
fn circular_replacements_replace_nothing() {
    for length in [2, 3] {
        let of = |n: usize| format!("Replaces=u{}.service", (n + 1) % length);
        let options: Vec<String> = (0..length).map(of).collect();
        let names: Vec<String> = (0..length).map(|n| format!("u{n}.service")).collect();
        let units: Vec<(&str, &str)> = std::iter::zip(&names, &options)
            .map(|(name, options)| (name.as_str(), options.as_str()))
            .collect();
        let mut view = view(&["m1"], &units);
        settle(&mut view);
        assert_eq!(schedule(&view).unplaced.len(), length - 1);
    }
}

#[test]
fn global_units() {
    let units = [
        ("g.service", "Global=yes"),
        ("h.service", "Global=1\nConflicts=g.service"),
    ];
    let mut view = view(&["m1", "m2"], &units);
    settle(&mut view);
    assert_eq!(places(&view, "g.service"), ["m1", "m2"]);
    assert_eq!(places(&view, "h.service"), [""; 0]);
    view.insert_machine(machine("m3", &[]));
    set(&mut view, "m1", Availability::Lost(Fence::Elapsed));
    settle(&mut view);
    assert_eq!(
        places(&view, "g.service"),
        ["m1", "m2", "m3"],
        "a lost one keeps it"
    );
    view.remove_machine(&MachineId::new("m1"));
    settle(&mut view);
    assert_eq!(places(&view, "g.service"), ["m2", "m3"]);
}

#[test]
fn cordoned_and_draining() {
    let mut view = view(
        &["m1", "m2"],
        &[("a.service", ""), ("g.service", "Global=yes")],
    );
    settle(&mut view);
    set(&mut view, "m1", Availability::Cordoned);
    assert_eq!(settle(&mut view), []);
    set(&mut view, "m1", Availability::Draining);
    let found = schedule(&view);
    assert!(
        matches!(found.decisions[..], [Decision::Remove { .. }]),
        "{found:?}"
    );
    settle(&mut view);
    assert_eq!(places(&view, "a.service"), ["m2"]);
    assert_eq!(places(&view, "g.service"), ["m1", "m2"]);
}

#[test]
fn a_unit_that_stops_waits_until_it_is_dead() {
    let units = [("keep.service", ""), ("stop.service", "OnPartition=stop")];
    let mut view = view(&["m1"], &units);
    settle(&mut view);
    view.insert_machine(machine("m2", &[]));
    set(&mut view, "m1", Availability::Lost(Fence::Pending));
    settle(&mut view);
    assert_eq!(places(&view, "keep.service"), ["m2"]);
    assert_eq!(places(&view, "stop.service"), ["m1"]);
    set(&mut view, "m1", Availability::Lost(Fence::Elapsed));
    settle(&mut view);
    assert_eq!(places(&view, "stop.service"), ["m2"]);
}

#[test]
fn nothing_is_stopped_for_nothing() {
    let mut view = view(&["m1"], &[("a.service", "")]);
    settle(&mut view);
    set(&mut view, "m1", Availability::Lost(Fence::Elapsed));
    assert_eq!(settle(&mut view), []);
    assert_eq!(schedule(&view).unplaced, [name("a.service")]);
    set(&mut view, "m1", Availability::Open);
    assert_eq!(settle(&mut view), []);
}

#[test]
fn reservations() {
    let mut view = view(&["m1"], &[]);
    let mut small = machine("m2", &[]);
    small.capacity.memory = Some(1 << 30);
    view.insert_machine(small);
    set(&mut view, "m1", Availability::Cordoned);
    view.insert_unit(unit("a.service", "[Service]\nMemoryMax=600M"));
    view.insert_unit(unit(
        "b.service",
        "ReserveMemory=500M\n[Service]\nMemoryMax=1M",
    ));
    settle(&mut view);
    assert_eq!(places(&view, "a.service"), ["m2"]);
    let Explanation::Machines(machines) = explain(&view, &name("b.service")) else {
        panic!("no machines");
    };
    let texts = machines.iter().map(|(_, refusals)| refusals[0].to_string());
    assert_eq!(
        texts.collect::<Vec<_>>(),
        [
            "the machine is cordoned",
            "524288000 bytes of memory needed, 444596224 left"
        ]
    );
}

#[test]
fn instances_are_spread() {
    let mut view = view(&["none"], &[]);
    for (id, zone) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")] {
        view.insert_machine(machine(id, &[("zone", zone)]));
    }
    for n in 0..4 {
        view.insert_unit(unit(&format!("web@{n}.service"), "Spread=zone"));
    }
    settle(&mut view);
    let on_b = (0..4).filter(|n| places(&view, &format!("web@{n}.service")) == ["b1"]);
    assert_eq!(on_b.count(), 2);
}

#[test]
fn what_is_still_there_keeps_others_away() {
    let units = [("a.service", "Conflicts=b.service\nReserveMemory=1")];
    let mut view = view(&["m1"], &units);
    settle(&mut view);
    let mut old = view.unit(&name("a.service")).unwrap().clone();
    old.desired = State::Inactive;
    view.insert_unit(old);
    view.insert_unit(unit("b.service", ""));
    for _ in 0..2 {
        let found = schedule(&view);
        assert_eq!(found.unplaced, [name("b.service")]);
        for decision in &found.decisions {
            view.apply(decision);
        }
    }
    assert_eq!(schedule(&view).decisions, []);
    let mut gone = view.unit(&name("a.service")).unwrap().clone();
    gone.present_on.clear();
    view.insert_unit(gone);
    assert_eq!(schedule(&view).decisions.len(), 1);
}

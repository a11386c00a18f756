//! Which unit runs where: fleet's cases 13 to 21 and 44 (its `functional/scheduling_test.go`), rewritten.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, id, sleeper};

fn machines_of(cluster: &Cluster, units: &[String]) -> BTreeSet<String> {
    let rows = cluster.rows(0);
    let here = rows
        .into_iter()
        .filter(|row| units.contains(&row.unit) && row.active == "active");
    here.map(|row| row.machine).collect()
}

/// Smoke: three machines; start, list, move, stop; a machine that dies loses its unit to another.
#[test]
fn a_unit_starts_moves_survives_its_machine_and_stops() {
    let unit = sleeper("");
    let mut cluster = Cluster::start(3, &[("hello.service", unit.as_str())]);
    cluster.ok("start hello.service");
    let first = cluster.active("hello.service");
    cluster.ok("move hello.service");
    let second = cluster.active("hello.service");
    assert_ne!(first, second);
    assert_eq!(
        cluster.property(cluster.index(&first), "hello.service", "ActiveState"),
        "inactive"
    );
    // The first machine is asked below, so it is not the one that dies.
    if cluster.index(&second) == 0 {
        cluster.ok(&format!("move hello.service --to {}", id(1)));
    }
    let third = cluster.active("hello.service");
    let index = cluster.index(&third);
    assert_ne!(index, 0);
    cluster.machines[index].kill();
    cluster.wait_members(2);
    let fourth = cluster.until("another machine", || {
        let places = cluster.places(0, "hello.service");
        places.into_iter().find(|machine| *machine != third)
    });
    assert_ne!(fourth, third);
    cluster.ok("stop hello.service");
    cluster.wait_active(0);
}

#[test]
fn case_13_units_that_belong_together_move_together() {
    let leader = sleeper("");
    let follower = sleeper("\n[X-Fleet]\nMachineOf=ping.%i.service\n");
    let units: Vec<(String, &str)> = (1..=3)
        .map(|n| (format!("ping.{n}.service"), leader.as_str()))
        .collect();
    let mut files: Vec<(&str, &str)> = units
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    files.push(("pong@.service", follower.as_str()));
    let mut cluster = Cluster::start(3, &files);
    for number in 1..=3 {
        cluster.ok(&format!(
            "start --no-block ping.{number}.service pong@{number}.service"
        ));
    }
    cluster.wait_active(6);
    let pair = |number: usize| {
        [
            format!("ping.{number}.service"),
            format!("pong@{number}.service"),
        ]
    };
    for number in 1..=3 {
        assert_eq!(
            machines_of(&cluster, &pair(number)).len(),
            1,
            "{:?}",
            cluster.rows(0)
        );
    }
    cluster.machines[2].kill();
    cluster.wait_members(2);
    cluster.wait_active(6);
    for number in 1..=3 {
        let places = machines_of(&cluster, &pair(number));
        assert!(places.len() == 1 && !places.contains(&id(2)), "{places:?}");
    }
}

#[test]
fn cases_14_and_16_units_that_conflict_are_apart() {
    let conflict = sleeper("\n[X-Fleet]\nConflicts=conflict@*.service\n");
    let multiple = sleeper(
        "\n[X-Fleet]\nConflicts=other@*.service multiple@*.service\nConflicts=more@*.service\n",
    );
    let files = [
        ("conflict@.service", conflict.as_str()),
        ("multiple@.service", multiple.as_str()),
    ];
    let cluster = Cluster::start(3, &files);
    for name in ["conflict", "multiple"] {
        let units: Vec<String> = (1..=5)
            .map(|number| format!("{name}@{number}.service"))
            .collect();
        cluster.ok(&format!("start --no-block {}", units.join(" ")));
        let rows = cluster.wait_active(3);
        let machines: BTreeSet<&String> = rows.iter().map(|row| &row.machine).collect();
        assert_eq!(machines.len(), 3, "{rows:?}");
        let explained = cluster.fleetctl(
            0,
            &format!("explain {}", {
                let is_idle = |unit: &&String| !rows.iter().any(|row| row.unit == **unit);
                units.iter().find(is_idle).expect("two of five")
            }),
        );
        assert!(explained.stdout.contains("excludes"), "{explained:?}");
        cluster.ok(&format!("destroy {}", units.join(" ")));
        cluster.wait_active(0);
    }
}

#[test]
fn case_15_a_conflict_counts_whoever_says_so() {
    let hello = sleeper("");
    let conflicts = sleeper("\n[X-Fleet]\nConflicts=hello.service\n");
    let files = [
        ("hello.service", hello.as_str()),
        ("conflicts.service", conflicts.as_str()),
    ];
    let cluster = Cluster::start(1, &files);
    cluster.ok("start conflicts.service");
    cluster.ok("start --no-block hello.service");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(cluster.places(0, "hello.service"), Vec::<String>::new());
    cluster.ok("destroy conflicts.service");
    cluster.active("hello.service");
}

/// The one that replaces takes the place, the one that is replaced goes elsewhere.
#[test]
fn case_17_a_unit_takes_the_place_of_the_one_it_replaces() {
    let replaced = sleeper("");
    let kick = sleeper("\n[X-Fleet]\nReplaces=replace.0.service\n");
    let files = [
        ("replace.0.service", replaced.as_str()),
        ("kick0.service", kick.as_str()),
    ];
    let cluster = Cluster::start(2, &files);
    cluster.ok("start replace.0.service");
    let before = cluster.active("replace.0.service");
    cluster.ok("start kick0.service");
    assert_eq!(cluster.active("kick0.service"), before);
    // Its former place is told as long as the end there has not been.
    cluster.until("replace.0.service elsewhere, and only there", || {
        let places = cluster.places(0, "replace.0.service");
        (places.len() == 1 && places[0] != before).then_some(())
    });
}

#[test]
fn case_18_two_units_that_replace_each_other_do_not_run_in_circles() {
    let one = sleeper("\n[X-Fleet]\nReplaces=circle.1.service\n");
    let two = sleeper("\n[X-Fleet]\nReplaces=circle.0.service\n");
    let files = [
        ("circle.0.service", one.as_str()),
        ("circle.1.service", two.as_str()),
    ];
    let cluster = Cluster::start(1, &files);
    cluster.ok("start --no-block circle.0.service circle.1.service");
    let rows = cluster.wait_active(1);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(cluster.wait_active(1), rows);
}

#[test]
fn case_19_a_unit_can_name_its_machine() {
    let whole = sleeper(&format!("\n[X-Fleet]\nMachineID={}\n", id(0)));
    let short = sleeper(&format!("\n[X-Fleet]\nMachineID={}\n", &id(1)[..8]));
    let legacy = sleeper(&format!("\n[X-Fleet]\nX-ConditionMachineID={}\n", id(2)));
    let files = [
        ("a.service", whole.as_str()),
        ("b.service", short.as_str()),
        ("c.service", legacy.as_str()),
    ];
    let cluster = Cluster::start(3, &files);
    cluster.ok("start a.service b.service c.service");
    let rows = cluster.wait_active(3);
    let machines: Vec<String> = rows.into_iter().map(|row| row.machine).collect();
    assert_eq!(machines, [id(0), id(1), id(2)]);
}

/// Global ones have a journal and a status as well, from every machine.
#[test]
fn cases_20_and_21_global_units_run_everywhere_unless_they_conflict() {
    let global = "[Service]\nExecStart=/bin/sh -c 'echo here is $$HOSTNAME; exec sleep infinity'\n\n[X-Fleet]\nGlobal=true\n";
    let other = sleeper("\n[X-Fleet]\nGlobal=true\nConflicts=global.service\n");
    let mut cluster = Cluster::start(
        2,
        &[
            ("global.service", global),
            ("other.service", other.as_str()),
        ],
    );
    cluster.ok("start global.service");
    cluster.wait_active(2);
    cluster.add(&[]);
    let rows = cluster.wait_active(3);
    let machines: Vec<&String> = rows.iter().map(|row| &row.machine).collect();
    assert_eq!(machines, [&id(0), &id(1), &id(2)]);
    let status = cluster.fleetctl(0, "status global.service");
    assert_eq!(
        status.stdout.matches("Active: active").count(),
        3,
        "{status:?}"
    );
    let journal = cluster.fleetctl(1, "journal global.service");
    for machine in ["11111111", "22222222", "33333333"] {
        assert!(journal.stdout.contains(machine), "{journal:?}");
    }
    cluster.ok("start other.service");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(cluster.places(0, "other.service"), Vec::<String>::new());
}

#[test]
fn case_26_metadata_may_have_specifiers() {
    let unit = sleeper("\n[X-Fleet]\nMachineMetadata=hostname=%i\n");
    let cluster = Cluster::start(3, &[("metadata@.service", unit.as_str())]);
    cluster.ok("start metadata@m0.service metadata@m1.service metadata@m2.service");
    let rows = cluster.wait_active(3);
    let machines: Vec<String> = rows.into_iter().map(|row| row.machine).collect();
    assert_eq!(machines, [id(0), id(1), id(2)]);
    let ended = cluster.fleetctl(0, "start --block-attempts 1 metadata@invalid.service");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(
        cluster.places(0, "metadata@invalid.service"),
        Vec::<String>::new()
    );
}

/// fleet deleted this test as flaky: what is replaced has ended before what replaces it begins.
#[test]
fn case_44_what_is_replaced_ends_before_its_successor_begins() {
    let old = "[Service]\nExecStart=/bin/sleep infinity\nExecStopPost=/bin/sh -c 'sleep 2; touch /run/old-ended'\n";
    let new = "[Service]\nExecStartPre=/bin/sh -c 'test -e /run/old-ended && touch /run/order-kept || touch /run/order-broken'\nExecStart=/bin/sleep infinity\n\n[X-Fleet]\nReplaces=old.service\n";
    let cluster = Cluster::start(2, &[("old.service", old), ("new.service", new)]);
    cluster.ok("start old.service");
    let place = cluster.index(&cluster.active("old.service"));
    cluster.ok("start new.service");
    cluster.active("new.service");
    assert_eq!(
        cluster.sh(place, "ls /run/order-*").trim(),
        "/run/order-kept"
    );
}

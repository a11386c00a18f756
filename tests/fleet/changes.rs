//! Machines that come, go, are cut off or refused: fleet's cases 22 to 25 and 28 (its
//! `functional/node_test.go`, `connectivity-loss_test.go`), rewritten, and what fleet had not.

use std::time::Duration;

use crate::cluster::{Cluster, Row, TTL, id, sleeper};

fn conflicting() -> String {
    sleeper("\n[X-Fleet]\nConflicts=conflict@*.service\n")
}

#[test]
fn case_22_a_lost_machines_unit_goes_to_the_free_one_and_no_other_moves() {
    let unit = conflicting();
    let mut cluster = Cluster::start(4, &[("conflict@.service", unit.as_str())]);
    cluster.ok("start conflict@1.service conflict@2.service conflict@3.service");
    let before = cluster.wait_active(3);
    let victim = before
        .iter()
        .find(|row| row.machine != id(0))
        .expect("three machines")
        .clone();
    let index = cluster.index(&victim.machine);
    cluster.machines[index].kill();
    cluster.wait_members(3);
    let after = cluster.wait_active(3);
    let moved: Vec<&Row> = after.iter().filter(|row| !before.contains(row)).collect();
    assert_eq!(moved.len(), 1, "{before:?} {after:?}");
    assert_eq!(moved[0].unit, victim.unit);
}

#[test]
fn cases_23_and_24_a_machine_that_is_shut_down_leaves_at_once() {
    let unit = conflicting();
    let mut cluster = Cluster::start(4, &[("conflict@.service", unit.as_str())]);
    cluster.ok("start conflict@1.service conflict@2.service conflict@3.service");
    let before = cluster.wait_active(3);
    let victim = before
        .iter()
        .find(|row| row.machine != id(0))
        .expect("three machines")
        .clone();
    let index = cluster.index(&victim.machine);
    cluster.machines[index]
        .power_off(Duration::from_mins(2))
        .expect("an orderly end");
    cluster.wait_members(3);
    let after = cluster.wait_active(3);
    let moved = after.iter().filter(|row| !before.contains(row)).count();
    assert_eq!(moved, 1, "{before:?} {after:?}");
    assert!(after.iter().all(|row| row.machine != victim.machine));
    // Booted again it is a member like any other, and nothing moves back.
    let Cluster {
        machines, bridge, ..
    } = &mut cluster;
    machines[index]
        .boot_again(Some(bridge))
        .expect("it boots again");
    machines[index]
        .wait_booted(Duration::from_mins(2))
        .expect("booted");
    cluster.wait_members(4);
    assert_eq!(cluster.wait_active(3), after);
}

/// A global unit's new file comes to one machine after another; a bad one never comes to the second.
#[test]
fn a_global_unit_is_updated_machine_by_machine() {
    let global = "\n[X-Fleet]\nGlobal=true\n";
    let (old, new) = (
        sleeper(global),
        sleeper(&format!("Environment=A=new\n{global}")),
    );
    let bad = format!("[Service]\nExecStart=/bin/false\n{global}");
    let cluster = Cluster::start(2, &[("g.service", old.as_str())]);
    cluster.ok("start g.service");
    cluster.wait_active(2);
    let put = |text: &str| {
        let script = format!("cat >/opt/units/g.service <<'END'\n{text}END");
        cluster.sh(0, &script);
    };
    let runs = || [0, 1].map(|machine| cluster.property(machine, "g.service", "InvocationID"));
    let first = runs();
    put(&bad);
    let ended = cluster.fleetctl(0, "update g.service --settle 1 --timeout 20");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("did not come up"), "{ended:?}");
    cluster.wait_active(2);
    assert_eq!(runs()[1], first[1], "the second machine saw nothing of it");
    put(&new);
    let told = cluster.ok("update g.service --settle 1");
    let lines: Vec<&str> = told.lines().collect();
    let expected = [0, 1].map(|n| {
        let id = &id(n)[..8];
        format!("Unit g.service updated on {id}.../10.98.0.{}", n + 11)
    });
    assert_eq!(lines, expected);
    for machine in [0, 1] {
        let environment = cluster.property(machine, "g.service", "Environment");
        assert_eq!(environment, "A=new");
    }
}

#[test]
fn case_25_a_machine_with_the_id_of_another_is_refused_and_says_so() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.add_double(0);
    let ended = cluster.until("a refusal", || {
        let ended = cluster.fleetctl(1, "list-machines");
        (ended.code != Some(0)).then_some(ended)
    });
    assert!(
        ended.stderr.contains("another machine with the id"),
        "{ended:?}"
    );
    assert_eq!(cluster.ok("list-machines --no-legend").lines().count(), 1);
    let fresh = id(7);
    cluster.sh(
        1,
        &format!("systemctl stop fleetd; echo {fresh} >/etc/machine-id; systemctl start fleetd"),
    );
    cluster.wait_members(2);
}

/// Units go on without the store, whatever is wanted of them, and go on afterwards.
#[test]
fn case_28_loss_of_the_store_touches_no_unit() {
    let single = sleeper("");
    let global = sleeper("\n[X-Fleet]\nGlobal=true\n");
    let files = [
        ("single@.service", single.as_str()),
        ("global@.service", global.as_str()),
    ];
    let cluster = Cluster::start(1, &files);
    cluster.ok("submit single@inactive.service global@inactive.service");
    cluster.ok("load single@loaded.service global@loaded.service");
    cluster.ok("start single@launched.service global@launched.service");
    cluster.wait_active(2);
    let state = || {
        let names = "'single@*' 'global@*'";
        cluster.sh(
            0,
            &format!(
                "systemctl show -p Id -p ActiveState -p UnitFileState -p InvocationID --all {names}"
            ),
        )
    };
    let before = state();
    assert!(before.contains("ActiveState=active"), "{before}");
    cluster.bridge.cut("m0").expect("the cable is pulled");
    std::thread::sleep(TTL + Duration::from_secs(7));
    assert_eq!(state(), before);
    let ended = cluster.run(
        0,
        &[
            "curl",
            "-s",
            "--unix-socket",
            "/run/fleet.sock",
            "http://fleet/fleet/v1/units",
        ],
    );
    assert!(
        ended
            .stdout
            .contains("fleet server unable to communicate with etcd"),
        "{ended:?}"
    );
    cluster.bridge.mend("m0").expect("the cable is back");
    cluster.wait_members(1);
    cluster.wait_active(2);
    assert_eq!(state(), before);
}

/// A unit that stops on a partition is dead on the lost machine before another runs it.
#[test]
fn a_partition_obeys_each_units_policy() {
    let log = "ExecStartPre=/bin/sh -c 'date +%%s.%%N >>/var/started'\n";
    let stops = sleeper(&format!(
        "{log}ExecStopPost=/bin/sh -c 'date +%%s.%%N >/var/stopped'\n\n[X-Fleet]\nOnPartition=stop\nMachineMetadata=hostname=m1\nMachineMetadata=hostname=m2\n"
    ));
    let keeps = sleeper(&format!("\n[X-Fleet]\nMachineID={}\n", id(1)));
    let files = [
        ("stops.service", stops.as_str()),
        ("keeps.service", keeps.as_str()),
    ];
    let cluster = Cluster::start(3, &files);
    cluster.ok("start keeps.service stops.service");
    let place = cluster.active("stops.service");
    let lost = cluster.index(&place);
    let other = 3 - lost;
    cluster
        .bridge
        .cut(&format!("m{lost}"))
        .expect("the cable is pulled");
    cluster.until("the unit elsewhere", || {
        let places = cluster.places(0, "stops.service");
        places.contains(&id(other)).then_some(())
    });
    assert_eq!(cluster.property(lost, "stops.service", "MainPID"), "0");
    assert_eq!(
        cluster.property(1, "keeps.service", "ActiveState"),
        "active"
    );
    let started = cluster.sh(other, "tail -n 1 /var/started");
    let time = |text: &str| text.trim().parse::<f64>().expect("a time");
    // Killed, it may have had no time to say so; then its end is that of its main process.
    let stopped = cluster.run(lost, &["cat", "/var/stopped"]).stdout;
    assert!(
        stopped.is_empty() || time(&stopped) < time(&started),
        "{stopped} {started}"
    );
    cluster
        .bridge
        .mend(&format!("m{lost}"))
        .expect("the cable is back");
    cluster.wait_members(3);
    cluster.until("one place", || {
        (cluster.places(0, "stops.service").len() == 1).then_some(())
    });
}

#[test]
fn the_end_of_the_store_touches_no_unit() {
    let unit = sleeper("");
    let mut cluster = Cluster::start(2, &[("hello@.service", unit.as_str())]);
    cluster.ok("start hello@1.service hello@2.service hello@3.service hello@4.service");
    let before = cluster.wait_active(4);
    let invocations = |cluster: &Cluster| {
        [0, 1]
            .map(|machine| cluster.sh(machine, "systemctl show --value -p InvocationID 'hello@*'"))
    };
    let first = invocations(&cluster);
    cluster.store.kill();
    std::thread::sleep(TTL + Duration::from_secs(3));
    assert_eq!(invocations(&cluster), first);
    let Cluster { store, bridge, .. } = &mut cluster;
    store.start_again(bridge);
    cluster.wait_members(2);
    assert_eq!(cluster.wait_active(4), before);
    assert_eq!(invocations(&cluster), first);
}

#[test]
fn a_drained_machine_gives_its_units_away() {
    let unit = sleeper("");
    let cluster = Cluster::start(2, &[("hello@.service", unit.as_str())]);
    cluster.ok("start hello@1.service hello@2.service hello@3.service hello@4.service");
    cluster.wait_active(4);
    cluster.ok(&format!("drain {}", id(1)));
    let rows = cluster.wait_active(4);
    assert!(rows.iter().all(|row| row.machine == id(0)), "{rows:?}");
    cluster.ok(&format!("uncordon {}", id(1)));
    cluster.ok("start hello@5.service");
    assert_eq!(cluster.active("hello@5.service"), id(1));
}

#[test]
fn case_30_fleetd_ends_cleanly_while_the_store_is_lost() {
    let unit = sleeper("");
    let cluster = Cluster::start(1, &[("hello.service", unit.as_str())]);
    cluster.ok("start hello.service");
    cluster.wait_active(1);
    cluster.bridge.cut("m0").expect("the cable is pulled");
    std::thread::sleep(TTL);
    cluster.sh(0, "systemctl stop fleetd");
    assert_eq!(cluster.property(0, "fleetd.service", "Result"), "success");
    assert_eq!(
        cluster.property(0, "hello.service", "ActiveState"),
        "active"
    );
}

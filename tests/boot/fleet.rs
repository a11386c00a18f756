//! The fleet on three booted machines: a unit moves when its machine is killed, and another goes on unharmed.
//!
//! What the fleet's rules are, case by case, is in `tests/fleet`; this is that they hold on the image, over
//! its own store, when what dies is a whole machine.

use crate::cluster::{Cluster, until};
use crate::support::{assert_clean, output, power_off};
use crate::tunnel::the_fleet_is_reached_by_ssh;

/// Moves when its machine dies.
const MOVING: &str = "moving.service";
/// Is on a machine that lives, and goes on there.
const STAYING: &str = "staying.service";

#[test]
fn a_unit_of_three_machines_moves_when_its_machine_is_killed() {
    let (mut cluster, doomed, safe) = two_units_on_two_of_three();
    kill_and_see_what_moves(&mut cluster, doomed, safe);
    end(cluster);
}

/// The same, and beyond it what takes too long for every change.
#[test]
fn soak_three_machines_tell_of_each_other_lose_one_and_drain_another() {
    let (mut cluster, doomed, safe) = two_units_on_two_of_three();
    every_machine_tells_of(&cluster, MOVING, doomed);
    every_machine_tells_what_the_others_use(&cluster);
    the_fleet_is_reached_by_ssh(&cluster.members[doomed], &cluster.members[safe]);
    kill_and_see_what_moves(&mut cluster, doomed, safe);
    drain_and_see_all_on_the_last(&cluster);
    end(cluster);
}

/// A cluster, the index of the machine that leads the store and has [`MOVING`], and of the one with [`STAYING`].
fn two_units_on_two_of_three() -> (Cluster, usize, usize) {
    let cluster = Cluster::boot();
    submit_and_start(&cluster);
    let doomed = cluster.leader_of_store();
    let safe = (doomed + 1) % cluster.members.len();
    bring(&cluster, MOVING, doomed);
    bring(&cluster, STAYING, safe);
    (cluster, doomed, safe)
}

fn kill_and_see_what_moves(cluster: &mut Cluster, doomed: usize, safe: usize) {
    let safe_id = cluster.members[safe].id.clone();
    let invocation = cluster.members[safe].invocation(STAYING);
    cluster.kill(doomed);
    wait_for_one_copy_elsewhere(cluster);
    let safe = &cluster.members[cluster.index(&safe_id)];
    assert_eq!(safe.invocation(STAYING), invocation, "it was restarted");
}

fn end(mut cluster: Cluster) {
    for member in cluster.members.drain(..) {
        assert_clean(&member.running);
        power_off(member.running);
    }
}

/// By the API with certificates, with which machines ask each other.
fn every_machine_tells_what_the_others_use(cluster: &Cluster) {
    for member in &cluster.members {
        let text = member.fleetctl_ok("top --json");
        let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
        let known = rows.iter().filter(|row| row["used"]["type"] == "known");
        assert_eq!(known.count(), cluster.members.len(), "{text}");
    }
}

fn submit_and_start(cluster: &Cluster) {
    let member = &cluster.members[0];
    for unit in [MOVING, STAYING] {
        let text = "[Service]\\nExecStart=/bin/sh -c \"while :; do echo still here; sleep 1; done\"\\n\
                    [X-Fleet]\\nMachineMetadata=disk=ssd\\n";
        output(&member.ssh, &format!("printf '{text}' >/root/{unit}"));
    }
    member.fleetctl_ok(&format!("submit {MOVING}"));
    assert_eq!(member.place(MOVING), None, "it was only submitted");
    member.fleetctl_ok(&format!("start {MOVING} {STAYING}"));
    for unit in [MOVING, STAYING] {
        let place = until(&format!("an active {unit}"), || member.place(unit));
        assert!(
            cluster.members[cluster.index(&place)].runs(unit),
            "{unit} on {place}"
        );
    }
}

/// Moves a unit to a machine if it is elsewhere.
fn bring(cluster: &Cluster, unit: &str, target: usize) {
    let target = &cluster.members[target];
    until(&format!("{unit} on {}", target.name), || {
        if target.place(unit)? != target.id {
            target.fleetctl(&format!("move {unit} --to {}", target.id))?;
        }
        (target.place(unit)? == target.id && target.runs(unit)).then_some(())
    });
}

/// Status and journal come from the machine that has the unit, over the API with its certificates.
fn every_machine_tells_of(cluster: &Cluster, unit: &str, place: usize) {
    for member in &cluster.members {
        let status = member.fleetctl_ok(&format!("status {unit}"));
        assert!(status.contains("active (running)"), "{status}");
        until("a line in the journal", || {
            let journal = member.fleetctl_ok(&format!("journal {unit}"));
            let host = format!(" {} ", cluster.members[place].name);
            let is_of_host = |line: &str| line.contains("still here") && line.contains(&host);
            journal.lines().any(is_of_host).then_some(())
        });
    }
}

/// The store has lost its leader at the same moment, and the fleet perhaps its own.
fn wait_for_one_copy_elsewhere(cluster: &Cluster) {
    for member in &cluster.members {
        until(&format!("{MOVING} elsewhere"), || {
            let place = member.place(MOVING)?;
            cluster.members.iter().position(|other| other.id == place)
        });
        member.wait_machines(cluster.members.len());
    }
    let copies = cluster.members.iter().filter(|member| member.runs(MOVING));
    assert_eq!(copies.count(), 1, "copies of {MOVING}");
}

fn drain_and_see_all_on_the_last(cluster: &Cluster) {
    let place = until(&format!("the place of {MOVING}"), || {
        cluster.members[0].place(MOVING)
    });
    let drained = cluster.index(&place);
    let last = &cluster.members[1 - drained];
    last.fleetctl_ok(&format!("drain {place}"));
    for unit in [MOVING, STAYING] {
        until(&format!("{unit} on the last machine"), || {
            (last.place(unit)? == last.id).then_some(())
        });
        assert!(last.runs(unit), "{unit} on {}", last.name);
        assert!(!cluster.members[drained].runs(unit), "a copy of {unit}");
    }
}

//! Members that are killed, stopped, cut off, wiped or out of space, while clients work: what the
//! clients saw is checked for linearizability, what watchers saw for gaps. Half of the clients speak v2,
//! the others v3, of the same keys.
//!
//! Every member is a process in a network of its own, all inside [`crate::isolation`].

pub(crate) mod client;
pub(crate) mod cluster;
mod dns;
mod gateway;
mod history;
mod millions;
mod network;
mod order;
mod proof;
mod registers;
mod round;
mod soak;
mod storage;
mod survivor;
mod watching;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::isolation::isolated;
use crate::raw_http::Connection;
use client::{exchange, receive, send};
use cluster::{Cluster, client_address};
use round::{LIMIT, others, round};

/// So much is done between two steps of a test.
const SOME: u64 = 150;

#[test]
fn the_leader_is_killed() {
    isolated("faults::the_leader_is_killed", LIMIT, || {
        let mut cluster = Cluster::start(3)?;
        round(&mut cluster, 1, |cluster, workload| {
            let leader = cluster.wait_for_leader(&[1, 2, 3])?;
            cluster.kill(leader)?;
            cluster.wait_for_leader(&others(leader))?;
            workload.wait_for_progress(SOME)?;
            cluster.spawn(leader)
        })
    });
}

#[test]
fn a_follower_is_killed() {
    isolated("faults::a_follower_is_killed", LIMIT, || {
        let mut cluster = Cluster::start(3)?;
        round(&mut cluster, 1, |cluster, workload| {
            let leader = cluster.wait_for_leader(&[1, 2, 3])?;
            let follower = others(leader)[0];
            cluster.kill(follower)?;
            workload.wait_for_progress(SOME)?;
            cluster.spawn(follower)
        })
    });
}

#[test]
fn all_are_killed() {
    isolated("faults::all_are_killed", LIMIT, || {
        let mut cluster = Cluster::start(3)?;
        round(&mut cluster, 1, |cluster, workload| {
            workload.wait_for_progress(SOME)?;
            for number in cluster.kill_all()? {
                cluster.spawn(number)?;
            }
            Ok(())
        })
    });
}

#[test]
fn the_leader_stops_cleanly_and_hands_over() {
    isolated(
        "faults::the_leader_stops_cleanly_and_hands_over",
        LIMIT,
        || {
            let mut cluster = Cluster::start(3)?;
            round(&mut cluster, 1, |cluster, workload| {
                let leader = cluster.wait_for_leader(&[1, 2, 3])?;
                cluster.stop(leader)?;
                cluster.wait_for_leader(&others(leader))?;
                workload.wait_for_progress(SOME)?;
                cluster.spawn(leader)
            })
        },
    );
}

/// A leader that sleeps while another takes over must not answer a read from what it remembers.
#[test]
fn the_leader_is_paused() {
    isolated("faults::the_leader_is_paused", LIMIT, || {
        let mut cluster = Cluster::start(3)?;
        round(&mut cluster, 1, |cluster, workload| {
            let leader = cluster.wait_for_leader(&[1, 2, 3])?;
            let mut waiting = (0..8)
                .map(|_| Connection::open(client_address(leader)))
                .collect::<Result<Vec<_>>>()?;
            let target = "/v2/keys/paused";
            for connection in &mut waiting {
                exchange(connection, "PUT", target, "value=old")?;
            }
            cluster.signal(leader, Signal::STOP)?;
            let next = cluster.wait_for_leader(&others(leader))?;
            let written = client::request(client_address(next), "PUT", target, "value=new")?;
            ensure!(written.status == 200, "{written:?}");
            for connection in &mut waiting {
                send(connection, "GET", &format!("{target}?quorum=true"), "")?;
            }
            workload.wait_for_progress(SOME)?;
            cluster.signal(leader, Signal::CONT)?;
            for connection in &mut waiting {
                let answer = receive(connection)?;
                let is_new = answer.body.contains("\"value\":\"new\"");
                ensure!(is_new || answer.status >= 500, "a stale read: {answer:?}");
            }
            Ok(())
        })
    });
}

#[test]
fn the_leader_is_cut_off() {
    isolated("faults::the_leader_is_cut_off", LIMIT, || {
        let mut cluster = Cluster::start(3)?;
        round(&mut cluster, 1, |cluster, workload| {
            let leader = cluster.wait_for_leader(&[1, 2, 3])?;
            cluster.network.cut_off(leader)?;
            cluster.wait_for_leader(&others(leader))?;
            workload.wait_for_progress(SOME)?;
            assert_alone(leader)?;
            cluster.network.heal()
        })
    });
}

/// The leader's own words get lost, but it hears the others; then the other way round.
#[test]
fn the_leader_is_cut_off_in_one_direction() {
    isolated(
        "faults::the_leader_is_cut_off_in_one_direction",
        LIMIT,
        || {
            let mut cluster = Cluster::start(3)?;
            round(&mut cluster, 1, |cluster, workload| {
                for leader_is_heard in [false, true] {
                    let leader = cluster.wait_for_leader(&[1, 2, 3])?;
                    for other in others(leader) {
                        let (from, to) = if leader_is_heard {
                            (other, leader)
                        } else {
                            (leader, other)
                        };
                        cluster.network.cut(from, to)?;
                    }
                    let next = cluster.wait_for_leader(&others(leader));
                    next.with_context(|| format!("with leader_is_heard={leader_is_heard}"))?;
                    workload.wait_for_progress(SOME)?;
                    cluster.network.heal()?;
                }
                Ok(())
            })
        },
    );
}

/// A member without a quorum says what it knows when asked plainly, and nothing else.
fn assert_alone(member: u8) -> Result<()> {
    let at = client_address(member);
    let plain = client::request(at, "GET", "/v2/keys/", "")?;
    ensure!(plain.status == 200, "a plain read: {plain:?}");
    let [mut reader, mut writer] = [Connection::open(at)?, Connection::open(at)?];
    send(&mut reader, "GET", "/v2/keys/?quorum=true", "")?;
    send(&mut writer, "PUT", "/v2/keys/alone", "value=1")?;
    for asked in [&mut reader, &mut writer] {
        let answer = receive(asked)?;
        ensure!(answer.status == 500, "it has no quorum: {answer:?}");
    }
    let health = client::request(at, "GET", "/health", "")?;
    ensure!(health.status == 503, "its health: {health:?}");
    Ok(())
}

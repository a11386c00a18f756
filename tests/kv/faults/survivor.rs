//! The only member that is left of a cluster goes on with its data, and gets company again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::client::request;
use super::cluster::{Cluster, client_address, kvctl, peer_url, variable};
use super::round::{LIMIT, others};
use crate::isolation::isolated;

const KEYS: u32 = 300;

fn target(number: u32) -> String {
    format!("/v2/keys/before/{number}")
}

fn assert_has_all(member: u8) -> Result<()> {
    for number in 0..KEYS {
        let answer = request(client_address(member), "GET", &target(number), "")?;
        let expected = format!("\"value\":\"v{number}\"");
        ensure!(
            answer.body.contains(&expected),
            "m{member} lacks {number}: {answer:?}"
        );
    }
    Ok(())
}

/// The names in the list of members, in their order; empty for one that has not started.
fn names(at: u8) -> Result<Vec<String>> {
    let members = request(client_address(at), "GET", "/v2/members", "")?.body;
    let mut names: Vec<String> = (members.split("\"name\":\"").skip(1))
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Two of three are lost for good.
fn lose_two(cluster: &mut Cluster) -> Result<u8> {
    let leader = cluster.wait_for_leader(&[1, 2, 3])?;
    for number in 0..KEYS {
        let at = client_address(u8::try_from(number % 3)? + 1);
        let answer = request(at, "PUT", &target(number), &format!("value=v{number}"))?;
        ensure!(answer.status == 201, "{answer:?}");
    }
    let survivor = others(leader)[0];
    // What was acknowledged may be on the other two alone: a read that all answer for brings it here.
    let read = request(client_address(survivor), "GET", "/v2/keys/?quorum=true", "")?;
    ensure!(read.status == 200, "{read:?}");
    for lost in cluster.kill_all()? {
        if lost != survivor {
            std::fs::remove_dir_all(cluster.data_folder(lost))?;
        }
    }
    Ok(survivor)
}

#[test]
fn one_survivor_of_three_makes_a_new_cluster_and_is_joined() {
    isolated(
        "faults::survivor::one_survivor_of_three_makes_a_new_cluster_and_is_joined",
        LIMIT,
        || {
            let mut cluster = Cluster::start(3)?;
            let survivor = lose_two(&mut cluster)?;
            // Without being told, it does not serve on its own.
            cluster.spawn(survivor)?;
            std::thread::sleep(Duration::from_secs(3));
            let refused = request(client_address(survivor), "GET", "/health", "")?;
            ensure!(
                refused.status == 503,
                "alone, it says it is healthy: {refused:?}"
            );
            cluster.kill(survivor)?;

            cluster.spawn_with(survivor, &["--force-new-cluster"])?;
            cluster.wait_until_all_serve()?;
            assert_has_all(survivor)?;
            ensure!(
                names(survivor)? == [format!("m{survivor}")],
                "{:?}",
                names(survivor)?
            );
            // The flag is for once: the cluster stays what it has become.
            cluster.stop(survivor)?;
            cluster.spawn(survivor)?;
            cluster.wait_until_all_serve()?;
            join(&mut cluster, survivor)
        },
    );
}

fn join(cluster: &mut Cluster, survivor: u8) -> Result<()> {
    let new = others(survivor)[0];
    let name = format!("m{new}");
    let url = peer_url(new);
    let told = kvctl(survivor, ["member", "add", &name, &url].into_iter())?;
    cluster.join_with(variable(&told, "ETCD_INITIAL_CLUSTER")?);
    cluster.spawn(new)?;
    cluster.wait_until_all_serve()?;
    assert_has_all(new)?;
    let written = request(client_address(new), "PUT", "/v2/keys/after", "value=1")?;
    ensure!(written.status == 201, "{written:?}");
    let mut expected = [format!("m{survivor}"), name];
    expected.sort();
    ensure!(names(survivor)? == expected, "{:?}", names(survivor)?);
    wait_for_vote(cluster, survivor, new)
}

/// Once the new one has its vote, the cluster needs both: the old one alone is not healthy.
fn wait_for_vote(cluster: &mut Cluster, survivor: u8, new: u8) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        cluster.kill(new)?;
        std::thread::sleep(Duration::from_secs(4));
        let health = request(client_address(survivor), "GET", "/health", "");
        let needs_both = health.context("the survivor answers")?.status == 503;
        cluster.spawn(new)?;
        cluster.wait_until_all_serve()?;
        if needs_both {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the new member gets no vote");
    }
}

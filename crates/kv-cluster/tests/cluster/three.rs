//! Three and five members that work together.
use kv_cluster::{Role, TransferError};

use crate::harness::{Cluster, eventually, latest, local, put, put_for_sure};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_takes_writes_and_reads_the_latest() {
    let cluster = Cluster::form(3).await;
    for at in 0..3 {
        let key = format!("/from/{at}");
        let member = cluster.member(at);
        put(member, &key, "x").await.expect("written");
        // Whoever wrote through a member sees it there, without asking for the latest.
        assert_eq!(local(member, &key).as_deref(), Some("x"));
    }
    for round in 0..20 {
        let value = round.to_string();
        put(cluster.member(round % 3), "/k", &value)
            .await
            .expect("written");
        for member in cluster.running() {
            assert_eq!(latest(member, "/k").await.as_deref(), Some(value.as_str()));
        }
    }
    let ids: Vec<_> = cluster
        .running()
        .map(kv_cluster::Replica::cluster_id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let members = cluster.member(0).members();
    assert_eq!(members.len(), 3);
    assert!(
        members
            .iter()
            .all(|member| !member.learner && !member.name.is_empty())
    );
    let leader = cluster.leader().await;
    let statistics = cluster.member(leader).peer_statistics();
    assert_eq!(statistics.peers.len(), 2);
    assert!(
        statistics
            .peers
            .values()
            .all(|peer| peer.success > 0 && peer.bytes > 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_through_a_follower_are_forwarded_together() {
    let cluster = Cluster::form(3).await;
    let follower = cluster.member(cluster.follower().await);
    put(follower, "/first", "x").await.expect("written");
    let before = follower.position().raft_index;
    let writes = (0..500).map(|number| {
        let key = format!("/many/{number}");
        async move { put(follower, &key, "x").await.expect("written") }
    });
    futures::future::join_all(writes).await;
    let entries = follower.position().raft_index - before;
    assert!(entries < 150, "{entries} entries for 500 commands");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leadership_is_handed_over() {
    let cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let leader = cluster.leader().await;
    let target = (leader + 1) % 3;
    let target_id = cluster.member(target).id();
    let refused = cluster.member(target).transfer_leadership(None).await;
    assert_eq!(refused, Err(TransferError::NotLeader));
    let taken = cluster
        .member(leader)
        .transfer_leadership(Some(target_id))
        .await;
    assert_eq!(taken, Ok(target_id));
    assert_eq!(cluster.leader().await, target);
    put(cluster.member(leader), "/a", "2")
        .await
        .expect("written");
    assert_eq!(
        latest(cluster.member(leader), "/a").await.as_deref(),
        Some("2")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over_and_comes_back_as_a_follower() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let old = cluster.leader().await;
    let other = (old + 1) % 3;
    let term = cluster.member(other).status().borrow().term;
    cluster.stop(old).await;
    let status = cluster.member(other).status().borrow().clone();
    assert!(status.term > term && status.leader.is_some(), "{status:?}");
    put_for_sure(cluster.member(other), "/a", "2").await;
    let member = cluster.sites[old].restart().await;
    cluster.members[old] = Some(member);
    cluster.leader().await;
    assert_eq!(
        latest(cluster.member(old), "/a").await.as_deref(),
        Some("2")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_members_go_on_without_two() {
    let mut cluster = Cluster::form(5).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let first = cluster.leader().await;
    cluster.members[first] = None;
    let rest: Vec<_> = cluster.running().cloned().collect();
    let second = cluster.leader_among(&rest).await;
    cluster.members[second] = None;
    drop(rest);
    let left = cluster.running().next().expect("three are left").clone();
    put_for_sure(&left, "/a", "2").await;
    for member in cluster.running() {
        assert_eq!(latest(member, "/a").await.as_deref(), Some("2"));
    }
    let back = cluster.sites[first].restart().await;
    eventually("it catches up", || {
        (local(&back, "/a").as_deref() == Some("2")).then_some(())
    })
    .await;
    assert_eq!(back.status().borrow().role, Role::Follower);
}

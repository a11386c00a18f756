//! Leases in a cluster: kept alive through any member, ended by who leads, and by nobody else.
use std::time::Duration;

use bytes::Bytes;
use kv_cluster::Replica;
use kv_model::command::{LeaseChoice, Operation, Transaction};
use kv_model::{Command, LeaseId, query};

use crate::harness::{Cluster, eventually};

const LEASE: LeaseId = LeaseId(7);

async fn grant(member: &Replica, ttl_seconds: i64) {
    let id = LEASE;
    let granted = member.propose(Command::GrantLease { id, ttl_seconds });
    let granted = granted.await.expect("committed");
    assert!(granted.outcome.is_ok(), "{:?}", granted.outcome);
}

async fn put_on_lease(member: &Replica, key: &'static str) {
    let put = Operation::Put {
        key: Bytes::from_static(key.as_bytes()),
        value: Some(Bytes::from_static(b"v")),
        lease: LeaseChoice::Lease(LEASE),
        want_previous: false,
    };
    let transaction = Transaction {
        success: vec![put],
        ..Transaction::default()
    };
    let put = member.propose(Command::Transaction(transaction));
    assert!(put.await.expect("committed").outcome.is_ok());
}

fn leased(member: &Replica) -> usize {
    let view = member.store().view();
    query::leased_keys(&view, LEASE).expect("readable").len()
}

fn exists(member: &Replica) -> bool {
    let lease = query::lease(&member.store().view(), LEASE);
    lease.expect("readable").is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_kept_alive_through_any_member_and_writes_nothing() {
    let cluster = Cluster::form(3).await;
    let follower = cluster.member(cluster.follower().await);
    grant(follower, 3).await;
    put_on_lease(follower, "k").await;
    let before = follower.position().raft_index;
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let member = cluster.member(round % 3);
        assert_eq!(member.keep_alive(LEASE).await, Ok(Some(3)));
        let remaining = member.lease_remaining(LEASE).await.expect("answered");
        assert!(
            remaining.is_some_and(|seconds| (1..=3).contains(&seconds)),
            "{remaining:?}"
        );
    }
    // Four seconds, in which it would have ended.
    assert_eq!(leased(follower), 1);
    assert_eq!(follower.position().raft_index, before);
    assert_eq!(follower.keep_alive(LeaseId(8)).await, Ok(None));
    eventually("its end", || {
        let gone = cluster
            .running()
            .all(|member| !exists(member) && leased(member) == 0);
        gone.then_some(())
    })
    .await;
    assert_eq!(follower.keep_alive(LEASE).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_gives_a_lease_its_whole_time_and_then_ends_it() {
    let cluster = Cluster::form(3).await;
    let leader = cluster.leader().await;
    let next = cluster.member((leader + 1) % 3);
    grant(next, 4).await;
    put_on_lease(next, "k").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let handed_over = cluster.member(leader).transfer_leadership(Some(next.id()));
    assert_eq!(handed_over.await, Ok(next.id()));
    cluster.leader().await;
    // It would have ended after two more seconds.
    tokio::time::sleep(Duration::from_millis(2800)).await;
    for member in cluster.running() {
        assert_eq!(leased(member), 1);
    }
    eventually("its end", || {
        (!exists(next) && leased(next) == 0).then_some(())
    })
    .await;
}

//! Cut networks, killed members, slow followers.
use kv_cluster::{ProposeError, ReadError, Role};
use kv_model::Revision;

use crate::harness::{Cluster, at_revision, eventually, latest, local, put, put_for_sure};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_neither_writes_nor_reads_as_if_it_led() {
    let cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "old").await.expect("written");
    let old = cluster.leader().await;
    let cut = cluster.member(old).clone();
    cluster.cuts.cut(cut.id());
    let others: Vec<_> = (cluster.running())
        .filter(|member| member.id() != cut.id())
        .cloned()
        .collect();
    cluster.leader_among(&others).await;
    put_for_sure(&others[0], "/a", "new").await;
    // It may still think that it leads, but it must not read what is no longer the latest.
    let (read, write) = tokio::join!(cut.linearize(), put(&cut, "/b", "x"));
    assert!(
        matches!(read, Err(ReadError::TimedOut | ReadError::NoLeader)),
        "{read:?}"
    );
    assert!(
        matches!(
            write,
            Err(ProposeError::OutcomeUnknown | ProposeError::NoLeader | ProposeError::TimedOut)
        ),
        "{write:?}"
    );
    assert_eq!(local(&cut, "/a").as_deref(), Some("old"));
    assert_eq!(cut.status().borrow().leader, None);
    cluster.cuts.heal();
    cluster.leader().await;
    assert_eq!(latest(&cut, "/a").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_is_cut_off_does_not_disturb_the_others() {
    let cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let leader = cluster.leader().await;
    let follower = cluster.member(cluster.follower().await).clone();
    let term = cluster.member(leader).status().borrow().term;
    cluster.cuts.cut(follower.id());
    eventually("it misses the leader", || {
        follower.status().borrow().leader.is_none().then_some(())
    })
    .await;
    for number in 0..20 {
        put(cluster.member(leader), "/a", &number.to_string())
            .await
            .expect("written");
    }
    cluster.cuts.heal();
    eventually("it follows again", || {
        (local(&follower, "/a").as_deref() == Some("19")).then_some(())
    })
    .await;
    // Asking before voting keeps the term: the leader was never in question.
    assert_eq!(cluster.member(leader).status().borrow().term, term);
    assert_eq!(cluster.leader().await, leader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_killed_and_all_that_was_acknowledged_is_there() {
    let mut cluster = Cluster::form(3).await;
    for number in 0..50 {
        let key = format!("/k/{number}");
        put(cluster.member(number % 3), &key, "x")
            .await
            .expect("written");
    }
    let leader = cluster.leader().await;
    let term = cluster.member(leader).status().borrow().term;
    cluster.members = vec![None, None, None];
    for at in 0..3 {
        let member = cluster.sites[at].restart().await;
        cluster.members[at] = Some(member);
    }
    let leader = cluster.leader().await;
    // Nobody goes on leading in a term whose commits it has forgotten.
    assert!(cluster.member(leader).status().borrow().term > term);
    for member in cluster.running() {
        for number in 0..50 {
            assert_eq!(
                latest(member, &format!("/k/{number}")).await.as_deref(),
                Some("x")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_behind_a_shortened_log_gets_a_snapshot() {
    let shorten = |settings: &mut kv_cluster::Settings| {
        settings.snapshot_entries = 100;
        settings.keep_entries = 10;
    };
    let mut cluster = Cluster::form_with(3, shorten).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let follower = cluster.follower().await;
    cluster.stop(follower).await;
    let leader = cluster.leader().await;
    let filling = "x".repeat(2000);
    for number in 0..1500 {
        let key = format!("/fill/{}", number % 300);
        let value = format!("{number}{filling}");
        put(cluster.member(leader), &key, &value)
            .await
            .expect("written");
    }
    put(cluster.member(leader), "/last", "there")
        .await
        .expect("written");
    let last = cluster.member(leader).position().raft_index;
    eventually("the log is cut", || {
        let purged = cluster.member(leader).log().purged()?;
        (purged.0 > 500).then_some(())
    })
    .await;
    let member = cluster.sites[follower]
        .restart_with(shorten)
        .await
        .expect("it restarts");
    eventually("it catches up", || {
        (member.position().raft_index >= last).then_some(())
    })
    .await;
    assert_eq!(local(&member, "/last").as_deref(), Some("there"));
    assert_eq!(local(&member, "/fill/7"), Some(format!("1207{filling}")));
    // The past came with it: of both it is the same.
    for revision in [2, 9, 10, 100, 700, 1400] {
        let past = |member| at_revision(member, "/fill/7", Revision(revision));
        // Written first at revision 10, and from then on every 300.
        let times = revision.checked_sub(10).map(|since| since / 300);
        let wanted = times.map(|times| format!("{}{filling}", 7 + 300 * times));
        assert_eq!(past(&member), wanted, "at {revision}");
        assert_eq!(past(cluster.member(leader)), wanted, "at {revision}");
    }
    let incoming = cluster.sites[follower].path().join("incoming-snapshot");
    eventually("what came is cleared away", || {
        (!incoming.exists()).then_some(())
    })
    .await;
    put(&member, "/after", "x").await.expect("written");
    // What came by the snapshot is there after a restart too.
    drop(member);
    let member = cluster.sites[follower]
        .restart_with(shorten)
        .await
        .expect("it restarts");
    assert_eq!(latest(&member, "/last").await.as_deref(), Some("there"));
    assert_eq!(latest(&member, "/after").await.as_deref(), Some("x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_without_room_holds_nobody_up_and_catches_up_later() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let follower = cluster.follower().await;
    cluster.stop(follower).await;
    put_for_sure(cluster.member((follower + 1) % 3), "/a", "2").await;
    let no_room = |settings: &mut kv_cluster::Settings| settings.store.reserve_bytes = u64::MAX;
    let full = cluster.sites[follower]
        .restart_with(no_room)
        .await
        .expect("it starts");
    let leader = cluster.leader().await;
    for number in 0..20 {
        put(cluster.member(leader), "/b", &number.to_string())
            .await
            .expect("written");
    }
    assert_eq!(local(&full, "/b"), None);
    assert!(full.status().borrow().role != Role::Leader);
    drop(full);
    let member = cluster.sites[follower].restart().await;
    assert_eq!(latest(&member, "/b").await.as_deref(), Some("19"));
}

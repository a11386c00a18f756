//! A member on its own.
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kv_cluster::{ProposeError, Role, Start};
use kv_model::UnixNanoseconds;

use crate::harness::{Cuts, Site, eventually, latest, local, put, set, set_until};

fn site() -> Site {
    Site::new("alone", &Arc::new(Cuts::default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_writes_reads_and_has_all_of_it_after_a_restart() {
    let mut site = site();
    let member = site.start(Start::Single).await;
    let first = put(&member, "/a", "1").await.expect("written");
    let second = put(&member, "/a", "2").await.expect("written");
    assert!(second.raft_index > first.raft_index);
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("2"));
    assert_eq!(member.status().borrow().role, Role::Leader);
    let (id, cluster) = (member.id(), member.cluster_id());
    member.shutdown().await;
    assert_eq!(
        member.propose(set("/a", "3")).await,
        Err(ProposeError::Stopped)
    );
    drop(member);

    let member = site.restart().await;
    assert_eq!((member.id(), member.cluster_id()), (id, cluster));
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("2"));
    put(&member, "/a", "3").await.expect("written");
    // Dropped without a word, as if it were killed.
    drop(member);
    let member = site.restart().await;
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_entries_and_each_has_its_own_outcome() {
    let mut site = site();
    let member = site.start(Start::Single).await;
    put(&member, "/first", "x").await.expect("written");
    let before = member.position().raft_index;
    let writes = (0..1000).map(|number| {
        let member = member.clone();
        async move {
            let key = format!("/many/{number}");
            let committed = put(&member, &key, &number.to_string())
                .await
                .expect("written");
            match committed.outcome {
                Ok(kv_model::Reply::Written(event)) => assert_eq!(event.node.key, key),
                other => panic!("{other:?}"),
            }
        }
    });
    futures::future::join_all(writes).await;
    let entries = member.position().raft_index - before;
    assert!(entries < 200, "{entries} entries for 1000 commands");
    assert_eq!(local(&member, "/many/999").as_deref(), Some("999"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_too_much_is_refused() {
    let mut site = site();
    let mut settings = site.settings(Start::Single);
    settings.request_bytes_max = 1000;
    settings.waiting_commands_max = 4;
    let member = kv_cluster::Replica::start(settings)
        .await
        .expect("it starts");
    put(&member, "/a", "1").await.expect("written");
    let large = "x".repeat(2000);
    assert!(matches!(
        member.propose(set("/a", &large)).await,
        Err(ProposeError::TooLarge { max: 1000, .. })
    ));
    let writes = (0..500).map(|_| member.propose(set("/a", "2")));
    let results = futures::future::join_all(writes).await;
    let refused = results
        .iter()
        .filter(|result| **result == Err(ProposeError::TooManyRequests));
    assert!(refused.count() > 0);
    assert!(results.iter().any(Result::is_ok));
    assert_eq!(member.waiting_commands(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expires_is_removed_and_nothing_is_written_before() {
    let mut site = site();
    let member = site.start(Start::Single).await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let soon = now + Duration::from_millis(600);
    let soon = UnixNanoseconds(i64::try_from(soon.as_nanos()).expect("fits"));
    let committed = member
        .propose(set_until("/soon", "x", Some(soon)))
        .await
        .expect("written");
    put(&member, "/stays", "x").await.expect("written");
    let index = member.position().raft_index;
    assert_eq!(index, committed.raft_index + 1);
    eventually("the key expires", || {
        local(&member, "/soon").is_none().then_some(())
    })
    .await;
    assert!(SystemTime::now() >= UNIX_EPOCH + Duration::from_nanos(soon.0.unsigned_abs()));
    assert_eq!(member.position().raft_index, index + 1);
    assert_eq!(local(&member, "/stays").as_deref(), Some("x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_shortened_and_a_restart_still_has_everything() {
    let mut site = site();
    let mut settings = site.settings(Start::Single);
    settings.snapshot_entries = 200;
    settings.keep_entries = 50;
    let member = kv_cluster::Replica::start(settings)
        .await
        .expect("it starts");
    for number in 0..1200 {
        put(&member, "/n", &number.to_string())
            .await
            .expect("written");
    }
    let purged = eventually("the log is cut", || member.log().purged()).await;
    assert!(purged.0 > 100, "{}", purged.0);
    drop(member);
    let member = site.restart().await;
    assert_eq!(latest(&member, "/n").await.as_deref(), Some("1199"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_writes_are_refused_and_reads_go_on() {
    let mut site = site();
    let member = site.start(Start::Single).await;
    put(&member, "/a", "1").await.expect("written");
    member.shutdown().await;
    drop(member);
    // No disk has that much left.
    let full = site
        .restart_with(|settings| settings.store.reserve_bytes = u64::MAX)
        .await;
    let full = full.expect("it starts without room");
    assert_eq!(latest(&full, "/a").await.as_deref(), Some("1"));
    assert_eq!(
        full.propose(set("/a", "2")).await,
        Err(ProposeError::NoSpace)
    );
    assert_eq!(latest(&full, "/a").await.as_deref(), Some("1"));
    drop(full);
    let member = site.restart().await;
    put(&member, "/a", "2").await.expect("written again");
}

/// Whatever has to wait for the disk must not take the runtime's only thread along.
#[test]
fn without_room_to_apply_everything_else_goes_on() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut site = site();
    let mut settings = site.settings(Start::Single);
    // Not even the first entry has room.
    settings.store.delta_bytes_max = 0;
    let (found, looks) = std::sync::mpsc::channel();
    runtime.spawn(async move {
        let member = kv_cluster::Replica::start(settings).await;
        let member = member.expect("the member starts");
        loop {
            let leads = member.status().borrow().role == Role::Leader;
            if found.send((leads, member.position().raft_index)).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // It leads, so there is an entry to be applied, and long after that it is looked at still.
    let mut looks_since = 0;
    while looks_since < 50 {
        let look = looks.recv_timeout(Duration::from_mins(1));
        let (leads, applied) = look.expect("the runtime is held up");
        assert_eq!(applied, 0, "there was room");
        looks_since += usize::from(leads);
    }
    runtime.shutdown_background();
}

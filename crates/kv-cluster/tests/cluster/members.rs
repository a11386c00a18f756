//! Members that come, go, move and are replaced.
use kv_cluster::{MemberId, MembershipError, Role, Start, StartError};

use crate::harness::{Cluster, Site, eventually, latest, put, put_for_sure};

fn peers(cluster: &Cluster) -> Start {
    let peers = cluster.sites.iter().map(Site::url).collect();
    Start::JoinExisting { peers }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_joins_and_gets_its_vote_by_itself() {
    let cluster = Cluster::form(1).await;
    let first = cluster.member(0).clone();
    put(&first, "/a", "1").await.expect("written");
    let mut site = Site::new("new", &cluster.cuts);
    let not_added = kv_cluster::Replica::start(site.settings(peers(&cluster))).await;
    assert!(
        matches!(not_added, Err(StartError::NotAdded { .. })),
        "{not_added:?}"
    );
    site.wipe();

    let announced = first
        .add_member(String::new(), vec![site.url()])
        .await
        .expect("announced");
    assert!(announced.learner && announced.name.is_empty());
    put(&first, "/a", "2")
        .await
        .expect("a learner that is not there holds nobody up");
    let member = site.start(peers(&cluster)).await;
    assert_eq!(member.id(), announced.id);
    assert_eq!(member.cluster_id(), first.cluster_id());
    eventually("it gets its vote", || {
        let members = first.members();
        let new = members.iter().find(|member| member.id == announced.id)?;
        (!new.learner && new.name == "new").then_some(())
    })
    .await;
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("2"));
    put(&member, "/a", "3").await.expect("written");
    let urls = vec!["http://client:1".to_owned()];
    member
        .publish_client_urls("new".to_owned(), urls.clone())
        .await
        .expect("published");
    eventually("all know its URLs", || {
        let members = first.members();
        members
            .iter()
            .any(|member| member.client_urls == urls)
            .then_some(())
    })
    .await;
    // A leader that was alone sent no heartbeats; now it does, and nobody asks for votes.
    let term = first.status().borrow().term;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let status = member.status().borrow().clone();
    assert_eq!((status.leader, status.term), (Some(first.id()), term));
    // With an empty folder it must not come back.
    drop(member);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    site.wipe();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_removed_for_good() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let gone = cluster.follower().await;
    let asked = (0..3).find(|at| *at != gone).expect("another");
    let id = cluster.member(gone).id();
    let unknown = cluster.member(asked).remove_member(MemberId(1)).await;
    assert_eq!(unknown, Err(MembershipError::NotFound(MemberId(1))));
    cluster
        .member(asked)
        .remove_member(id)
        .await
        .expect("removed");
    let removed = cluster.member(gone).clone();
    eventually("it hears of it", || {
        (removed.status().borrow().role == Role::Removed).then_some(())
    })
    .await;
    let again = cluster.member(asked).remove_member(id).await;
    assert_eq!(again, Err(MembershipError::Removed(id)));
    assert!(cluster.member(asked).was_removed(id));
    drop(removed);
    cluster.members[gone] = None;
    put_for_sure(cluster.member(asked), "/a", "2").await;
    let back = cluster.sites[gone].restart_with(|_| {}).await;
    assert!(
        matches!(back, Err(StartError::Removed { id: told, .. }) if told == id),
        "{back:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_its_data_is_refused_and_replaced() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let lost = cluster.follower().await;
    let other = (0..3).find(|at| *at != lost).expect("another");
    let id = cluster.member(lost).id();
    cluster.stop(lost).await;
    cluster.sites[lost].wipe();
    let members: Vec<_> = (cluster.sites.iter())
        .map(|site| (site.name.clone(), vec![site.url()]))
        .collect();
    let start = Start::NewCluster { members };
    let settings = cluster.sites[lost].settings(start);
    let refused = kv_cluster::Replica::start(settings).await;
    let Err(refused) = refused else {
        panic!("an empty folder was taken for the member's");
    };
    let command = format!("kvctl member replace {id} {}", cluster.sites[lost].url());
    assert!(refused.to_string().contains(&command), "{refused}");
    let joining = peers(&cluster);
    let settings = cluster.sites[lost].settings(joining);
    let refused = kv_cluster::Replica::start(settings).await;
    assert!(
        matches!(refused, Err(StartError::LostData { .. })),
        "{refused:?}"
    );

    let new = cluster
        .member(other)
        .replace_member(id, Vec::new())
        .await
        .expect("replaced");
    assert_ne!(new.id, id);
    cluster.sites[lost].wipe();
    let start = peers(&cluster);
    let member = cluster.sites[lost].start(start).await;
    assert_eq!(member.id(), new.id);
    eventually("it gets its vote", || {
        let members = cluster.member(other).members();
        let voters = members.iter().filter(|member| !member.learner).count();
        (voters == 3).then_some(())
    })
    .await;
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_would_end_the_cluster_are_refused() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let leader = cluster.leader().await;
    let (gone, left) = ((leader + 1) % 3, (leader + 2) % 3);
    let (gone_id, left_id) = (cluster.member(gone).id(), cluster.member(left).id());
    let url = cluster.sites[left].url();
    let taken = cluster
        .member(leader)
        .add_member(String::new(), vec![url])
        .await;
    assert!(matches!(taken, Err(MembershipError::UrlInUse { id, .. }) if id == left_id));
    cluster.members[gone] = None;
    let refused = eventually_refused(&cluster, leader, left_id).await;
    let expected = MembershipError::WouldLoseQuorum {
        healthy: 1,
        voters: 2,
        needed: 2,
    };
    assert_eq!(refused, expected);
    cluster
        .member(leader)
        .remove_member(gone_id)
        .await
        .expect("the dead one can go");
    let alone = cluster.member(leader).remove_member(left_id).await;
    assert_eq!(alone, Ok(()));
    let last = cluster.member(leader).id();
    let refused = cluster.member(leader).remove_member(last).await;
    assert_eq!(refused, Err(MembershipError::LastMember(last)));
    put(cluster.member(leader), "/a", "2")
        .await
        .expect("written");
}

/// The leader needs a moment to miss a member; until then it would let the other go.
async fn eventually_refused(cluster: &Cluster, leader: usize, id: MemberId) -> MembershipError {
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let result = cluster.member(leader).remove_member(id).await;
    result.expect_err("too few are left")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_moves_to_another_url() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let moved = cluster.follower().await;
    let id = cluster.member(moved).id();
    cluster.stop(moved).await;
    let leader = cluster.leader().await;
    let mut site = Site::new(&cluster.sites[moved].name, &cluster.cuts);
    std::mem::swap(&mut site.folder, &mut cluster.sites[moved].folder);
    cluster
        .member(leader)
        .update_member(id, vec![site.url()])
        .await
        .expect("updated");
    put(cluster.member(leader), "/a", "2")
        .await
        .expect("written");
    let member = site.restart().await;
    assert_eq!(member.id(), id);
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_itself_can_be_removed() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    let leader = cluster.leader().await;
    let removed = cluster.member(leader).clone();
    let other = (leader + 1) % 3;
    cluster
        .member(other)
        .remove_member(removed.id())
        .await
        .expect("removed");
    eventually("it hears of it", || {
        (removed.status().borrow().role == Role::Removed).then_some(())
    })
    .await;
    cluster.members[leader] = None;
    drop(removed);
    put_for_sure(cluster.member(other), "/a", "2").await;
    cluster.leader().await;
    for member in cluster.running() {
        assert_eq!(latest(member, "/a").await.as_deref(), Some("2"));
        assert_eq!(member.members().len(), 2);
    }
}

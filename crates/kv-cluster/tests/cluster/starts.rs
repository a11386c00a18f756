//! Starts that are right, and starts that are refused.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use kv_cluster::{Replica, Start, StartError};

use crate::harness::{Cluster, Cuts, Site, latest, local, put};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_survivor_becomes_a_cluster_of_its_own() {
    let mut cluster = Cluster::form(3).await;
    put(cluster.member(0), "/a", "1").await.expect("written");
    put(cluster.member(1), "/a", "2").await.expect("written");
    assert_eq!(latest(cluster.member(2), "/a").await.as_deref(), Some("2"));
    let (id, old) = (cluster.member(2).id(), cluster.member(2).cluster_id());
    cluster.members = vec![None, None, None];
    let forced = cluster.sites[2]
        .restart_with(|settings| settings.start = Start::ForceNew)
        .await;
    let member = forced.expect("it starts");
    assert_eq!(member.id(), id);
    assert_ne!(member.cluster_id(), old);
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("2"));
    put(&member, "/a", "3").await.expect("written alone");
    assert_eq!(member.members().len(), 1);
    let forced = member.cluster_id();
    drop(member);
    let member = cluster.sites[2].restart().await;
    assert_eq!(member.cluster_id(), forced);
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("3"));
    // The others are of another cluster now: they are not heard, and do not get its data.
    let other = cluster.sites[0].restart().await;
    put(&member, "/a", "4").await.expect("written alone");
    assert_eq!(local(&other, "/a").as_deref(), Some("2"));
    assert_eq!(member.members().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_of_others_are_refused() {
    let mut site = Site::new("a", &Arc::new(Cuts::default()));
    let nothing = Replica::start(site.settings(Start::ForceNew)).await;
    assert!(
        matches!(nothing, Err(StartError::NothingToForce { .. })),
        "{nothing:?}"
    );
    let list = |token: &str, site: &mut Site| {
        let members = vec![(site.name.clone(), vec![site.url()])];
        let mut settings = site.settings(Start::NewCluster { members });
        settings.cluster_token = token.to_owned();
        settings
    };
    let settings = list("one", &mut site);
    let member = Replica::start(settings).await.expect("it starts");
    put(&member, "/a", "1").await.expect("written");
    member.shutdown().await;
    drop(member);
    let other = Replica::start(list("two", &mut site)).await;
    assert!(
        matches!(other, Err(StartError::OtherCluster { .. })),
        "{other:?}"
    );
    let renamed = site
        .restart_with(|settings| settings.name = "b".to_owned())
        .await;
    let Err(StartError::OtherMember { found, name, .. }) = renamed else {
        panic!("{renamed:?}");
    };
    assert_eq!((found.as_str(), name.as_str()), ("a", "b"));
    let member = site.restart().await;
    assert_eq!(latest(&member, "/a").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_with_one_name_are_refused() {
    let cuts = Arc::new(Cuts::default());
    let (mut a, mut b) = (Site::new("a", &cuts), Site::new("b", &cuts));
    let mut twin = Site::new("b", &cuts);
    let members = vec![
        ("a".to_owned(), vec![a.url()]),
        ("b".to_owned(), vec![b.url()]),
        // Never started, so that nobody goes on.
        ("z".to_owned(), vec!["http://127.0.0.1:1".to_owned()]),
    ];
    let start = Start::NewCluster { members };
    let first = tokio::spawn(Replica::start(a.settings(start.clone())));
    let second = tokio::spawn(Replica::start(b.settings(start.clone())));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // Told that it is b at b's URL, but listening elsewhere.
    let mut settings = twin.settings(start);
    settings.peer_urls = vec![b.url()];
    let refused = Replica::start(settings).await;
    assert!(
        matches!(refused, Err(StartError::NameTaken { .. })),
        "{refused:?}"
    );
    first.abort();
    second.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_forming_goes_on_with_the_same_id() {
    let cuts = Arc::new(Cuts::default());
    let (mut a, mut b) = (Site::new("a", &cuts), Site::new("b", &cuts));
    let members = vec![
        ("a".to_owned(), vec![a.url()]),
        ("b".to_owned(), vec![b.url()]),
    ];
    let start = Start::NewCluster { members };
    let waiting = tokio::spawn(Replica::start(a.settings(start.clone())));
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    let identity = std::fs::read_to_string(a.path().join("member.json")).expect("written");
    let begun = start.clone();
    let (first, second) = tokio::join!(
        a.restart_with(|settings| settings.start = begun.clone()),
        b.start(start)
    );
    let first = first.expect("it starts");
    assert!(
        identity.contains(&format!("\"id\": \"{}\"", first.id())),
        "{identity}"
    );
    put(&second, "/a", "1").await.expect("written");
    assert_eq!(latest(&first, "/a").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_may_ask_a_peer_socket() {
    let mut site = Site::new("a", &Arc::new(Cuts::default()));
    let member = site.start(Start::Single).await;
    put(&member, "/a", "1").await.expect("written");
    let url = site.url();
    let ask = move |path: &'static str| {
        let address = url.trim_start_matches("http://").to_owned();
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).expect("connected");
            let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("asked");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            answer
        })
    };
    let members = ask("/members").await.expect("answered");
    let expected = format!("\"id\":\"{}\"", member.id());
    assert!(
        members.starts_with("HTTP/1.1 200") && members.contains(&expected),
        "{members}"
    );
    assert!(ask("/version").await.expect("answered").contains("\"kvd\""));
    assert!(
        ask("/else")
            .await
            .expect("answered")
            .starts_with("HTTP/1.1 404")
    );
}

/// What a member tells of its leader must not depend on when it looks. A member that looked between two
/// of openraft's messages once knew of no leader for ever, in one of twelve clusters on a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_every_member_of_a_new_cluster_learns_who_leads() {
    for _ in 0..100 {
        Cluster::form(3).await;
    }
}

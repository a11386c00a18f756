//! Members to start, stop, cut off and ask.
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_cluster::{
    Committed, Link, MemberId, ProposeError, Replica, Role, Settings, Start, StartError,
};
use kv_model::command::{
    Direction, KeyAction, KeyRange, KeyWrite, NewContent, Order, OrderBy, RangeQuery,
};
use kv_model::query::{Past, TreeQuery, range, tree};
use kv_model::{Command, Content, Revision, UnixNanoseconds};
use parking_lot::Mutex;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Which members are cut off from all others.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    alone: Mutex<HashSet<MemberId>>,
}

impl Cuts {
    pub(crate) fn cut(&self, id: MemberId) {
        self.alone.lock().insert(id);
    }

    pub(crate) fn heal(&self) {
        self.alone.lock().clear();
    }
}

impl Link for Cuts {
    fn passes(&self, from: MemberId, to: MemberId) -> bool {
        let alone = self.alone.lock();
        !alone.contains(&from) && !alone.contains(&to)
    }
}

/// A member that may or may not run: its name, folder and address stay.
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) folder: TempDir,
    address: SocketAddr,
    listener: Option<TcpListener>,
    cuts: Arc<Cuts>,
    scheme: &'static str,
}

impl Site {
    pub(crate) fn new(name: &str, cuts: &Arc<Cuts>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self {
            name: name.to_owned(),
            folder: tempfile::tempdir().expect("a folder"),
            address: listener.local_addr().expect("an address"),
            listener: Some(listener),
            cuts: Arc::clone(cuts),
            scheme: "http",
        }
    }

    /// With an URL that asks for TLS.
    pub(crate) fn encrypted(mut self) -> Self {
        self.scheme = "https";
        self
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn settings(&mut self, start: Start) -> Settings {
        let listener = self.listener.take();
        let listener = listener.unwrap_or_else(|| bind(self.address));
        Settings {
            peer_urls: vec![self.url()],
            client_urls: vec![format!("http://{}.client:2379", self.name)],
            peer_listeners: vec![listener],
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_millis(500),
            start,
            link: Arc::clone(&self.cuts) as Arc<dyn Link>,
            ..Settings::new(&self.name, self.folder.path())
        }
    }

    pub(crate) async fn start(&mut self, start: Start) -> Replica {
        let settings = self.settings(start);
        Replica::start(settings).await.expect("the member starts")
    }

    /// Starts where a member ran before, once it has let go of its folder.
    pub(crate) async fn restart(&mut self) -> Replica {
        self.restart_with(|_| {})
            .await
            .expect("the member restarts")
    }

    pub(crate) async fn restart_with(
        &mut self,
        change: impl Fn(&mut Settings),
    ) -> Result<Replica, StartError> {
        let began = tokio::time::Instant::now();
        loop {
            let mut settings = self.settings(Start::Single);
            change(&mut settings);
            match Replica::start(settings).await {
                Err(StartError::Store { .. } | StartError::Log { .. })
                    if began.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                result => return result,
            }
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn wipe(&self) {
        for entry in std::fs::read_dir(self.folder.path()).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).expect("removed");
            } else {
                std::fs::remove_file(path).expect("removed");
            }
        }
    }
}

/// With `RUST_LOG` set, members tell what they do.
fn show_logs() {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let logs = tracing_subscriber::fmt().with_env_filter(filter);
        // Another cluster of the same test may have begun it.
        drop(logs.with_writer(std::io::stderr).try_init());
    }
}

fn bind(address: SocketAddr) -> TcpListener {
    for _ in 0..200 {
        if let Ok(listener) = TcpListener::bind(address) {
            return listener;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{address} stays in use");
}

/// A cluster that was formed statically.
pub(crate) struct Cluster {
    pub(crate) sites: Vec<Site>,
    pub(crate) members: Vec<Option<Replica>>,
    pub(crate) cuts: Arc<Cuts>,
}

impl Cluster {
    pub(crate) async fn form(count: usize) -> Self {
        Self::form_with(count, |_| {}).await
    }

    pub(crate) async fn form_with(count: usize, change: impl Fn(&mut Settings)) -> Self {
        Self::form_of(count, |site| site, change).await
    }

    pub(crate) async fn form_tls(count: usize, change: impl Fn(&mut Settings)) -> Self {
        Self::form_of(count, Site::encrypted, change).await
    }

    async fn form_of(
        count: usize,
        make: impl Fn(Site) -> Site,
        change: impl Fn(&mut Settings),
    ) -> Self {
        show_logs();
        let cuts = Arc::new(Cuts::default());
        let names = ["a", "b", "c", "d", "e"];
        let mut sites: Vec<Site> = (names[..count].iter())
            .map(|name| make(Site::new(name, &cuts)))
            .collect();
        let list: Vec<_> = (sites.iter())
            .map(|site| (site.name.clone(), vec![site.url()]))
            .collect();
        let starting = sites.iter_mut().map(|site| {
            let members = list.clone();
            let mut settings = site.settings(Start::NewCluster { members });
            change(&mut settings);
            Replica::start(settings)
        });
        let started = futures::future::join_all(starting).await;
        let members = (started.into_iter())
            .map(|member| Some(member.expect("the member starts")))
            .collect();
        let cluster = Self {
            sites,
            members,
            cuts,
        };
        cluster.leader().await;
        cluster
    }

    pub(crate) fn member(&self, at: usize) -> &Replica {
        self.members[at].as_ref().expect("the member runs")
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Replica> {
        self.members.iter().flatten()
    }

    /// Waits until all that run agree on a leader that runs; where it is in the list.
    pub(crate) async fn leader(&self) -> usize {
        self.leader_among(&self.running().cloned().collect::<Vec<_>>())
            .await
    }

    pub(crate) async fn leader_among(&self, members: &[Replica]) -> usize {
        eventually("a leader", || {
            let leaders: HashSet<_> = (members.iter())
                .map(|member| member.status().borrow().leader)
                .collect();
            let only = leaders.iter().next().copied().flatten();
            let known = only.filter(|_| leaders.len() == 1);
            let leads = members.iter().any(|member| {
                Some(member.id()) == known && member.status().borrow().role == Role::Leader
            });
            let at =
                (self.members.iter()).position(|member| member.as_ref().map(Replica::id) == known);
            at.filter(|_| leads && known.is_some())
        })
        .await
    }

    pub(crate) async fn follower(&self) -> usize {
        let leader = self.leader().await;
        (0..self.members.len())
            .find(|at| *at != leader && self.members[*at].is_some())
            .expect("a follower")
    }

    pub(crate) async fn stop(&mut self, at: usize) {
        let member = self.members[at].take().expect("the member runs");
        member.shutdown().await;
    }
}

pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = tokio::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn set(key: &str, value: &str) -> Command {
    set_until(key, value, None)
}

pub(crate) fn set_until(key: &str, value: &str, expires: Option<UnixNanoseconds>) -> Command {
    Command::Write(KeyWrite {
        path: key.to_owned(),
        action: KeyAction::Set {
            content: NewContent::Value(Bytes::copy_from_slice(value.as_bytes())),
            expires,
        },
    })
}

pub(crate) async fn put(
    member: &Replica,
    key: &str,
    value: &str,
) -> Result<Committed, ProposeError> {
    let committed = member.propose(set(key, value)).await?;
    assert!(committed.outcome.is_ok(), "{:?}", committed.outcome);
    Ok(committed)
}

/// Puts again until it is certain: for when leaders come and go.
pub(crate) async fn put_for_sure(member: &Replica, key: &str, value: &str) {
    let began = tokio::time::Instant::now();
    while let Err(error) = put(member, key, value).await {
        assert!(began.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a member has in its store now.
pub(crate) fn local(member: &Replica, key: &str) -> Option<String> {
    let query = TreeQuery {
        path: key.to_owned(),
        ..TreeQuery::default()
    };
    let page = tree(&member.store().view(), &query).expect("the store can be read");
    match page.ok()?.tree.node.content {
        Content::Value(value) => Some(String::from_utf8_lossy(&value).into_owned()),
        _ => None,
    }
}

/// What a member reads when it must be the latest.
pub(crate) async fn latest(member: &Replica, key: &str) -> Option<String> {
    member.linearize().await.expect("a linearizable read");
    local(member, key)
}

/// What a key was at an earlier revision, by what a member itself keeps.
pub(crate) fn at_revision(member: &Replica, key: &str, revision: Revision) -> Option<String> {
    let none = (Revision(0), Revision(0));
    let query = RangeQuery {
        keys: KeyRange::Single(Bytes::copy_from_slice(key.as_bytes())),
        limit: 0,
        revision: Some(revision),
        order: Order {
            by: OrderBy::Key,
            direction: Direction::Ascending,
        },
        keys_only: false,
        count_only: false,
        modified: none,
        created: none,
    };
    let (view, history) = (member.store().view(), member.store().history());
    let mut past = Past::of(&view, &query).expect("the store can be read");
    let mut from = revision.next();
    while let Some(past) = &mut past {
        let page = history.from(from, kv_store::HistoryLimit::default());
        let page = page.expect("the past is there");
        let Some(last) = page.last() else { break };
        from = last.revision.next();
        for event in &page {
            past.undo(event);
        }
    }
    let read = range(&view, &query, past.as_ref()).expect("the store can be read");
    match &read.expect("it may be read").nodes.first()?.content {
        Content::Value(value) => Some(String::from_utf8_lossy(value).into_owned()),
        other => panic!("no value: {other:?}"),
    }
}

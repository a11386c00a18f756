//! A replica of one member whose store is real and whose log is not: it does as told, at once.
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use kv_cluster::{
    ClusterId, Committed, Member, MemberId, MembershipError, PeerStatistics, Position,
    ProposeError, ReadError, Role, Status, TransferError,
};
use kv_model::{Command, LeaseId, TableError, Tables, query};
use kv_store::{FlushError, HistoryWindow, Options, Progress, Store};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::http::Durations;
use crate::http::backend::{Backend, OnEvents, OnInstall, Waiting};
use crate::watch::{HistoryPages, StoreHistory};

/// How many events the store remembers at least.
pub(super) const HISTORY_EVENTS: u64 = 50;

pub(super) const MEMBER: MemberId = MemberId(0xa1);

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mood {
    Works,
    Fails(ProposeError),
    Hangs,
}

pub(super) struct Double {
    store: Store,
    status: watch::Sender<Status>,
    index: AtomicU64,
    pub(super) mood: Mutex<Mood>,
    pub(super) linearized: AtomicU64,
    pub(super) membership: Mutex<Option<MembershipError>>,
    _folder: TempDir,
}

impl Double {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            recent_events_max: 10,
            window: HistoryWindow {
                events_max: Some(HISTORY_EVENTS),
                ..Options::default().window
            },
            ..Options::default()
        };
        let status = Status {
            leader: Some(MEMBER),
            term: 2,
            role: Role::Leader,
            since: SystemTime::now(),
        };
        Self {
            store: Store::open(folder.path(), options).unwrap(),
            status: watch::Sender::new(status),
            index: AtomicU64::new(10),
            mood: Mutex::new(Mood::Works),
            linearized: AtomicU64::new(0),
            membership: Mutex::new(None),
            _folder: folder,
        }
    }

    /// Nobody leads any more.
    pub(super) fn depose(&self) {
        self.status.send_modify(|status| {
            status.leader = None;
            status.role = Role::Follower;
        });
    }

    pub(super) fn flush(&self) {
        self.store.flush().unwrap();
    }

    pub(super) fn apply(&self, command: &Command) -> Result<Committed, TableError> {
        let raft_index = self.index.fetch_add(1, Ordering::Relaxed) + 1;
        self.store.wait_for_room();
        let outcome = self.store.apply(Progress(Bytes::new()), |batch| {
            let applied = kv_model::apply(batch, command)?;
            batch.record(applied.events);
            Ok(applied.outcome)
        })?;
        Ok(Committed {
            outcome,
            raft_index,
            raft_term: 2,
        })
    }

    fn member() -> Member {
        Member {
            id: MEMBER,
            name: "one".to_owned(),
            peer_urls: vec!["http://127.0.0.1:2380".to_owned()],
            client_urls: vec!["http://127.0.0.1:2379".to_owned()],
            learner: false,
        }
    }

    fn change_members(&self) -> Result<(), MembershipError> {
        self.membership.lock().clone().map_or(Ok(()), Err)
    }
}

impl Backend for Double {
    fn propose(&self, command: Command) -> Waiting<'_, Result<Committed, ProposeError>> {
        let mood = self.mood.lock().clone();
        Box::pin(async move {
            match mood {
                Mood::Works => Ok(self.apply(&command).unwrap()),
                Mood::Fails(error) => Err(error),
                Mood::Hangs => std::future::pending().await,
            }
        })
    }

    fn linearize(&self) -> Waiting<'_, Result<Position, ReadError>> {
        self.linearized.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            if self.status.borrow().leader.is_none() {
                return Err(ReadError::NoLeader);
            }
            Ok(self.position())
        })
    }

    fn keep_alive(&self, id: LeaseId) -> Waiting<'_, Result<Option<i64>, ReadError>> {
        let lease = query::lease(&self.store.view(), id).unwrap();
        Box::pin(async move { Ok(lease.map(|lease| lease.ttl_seconds)) })
    }

    fn lease_remaining(&self, id: LeaseId) -> Waiting<'_, Result<Option<i64>, ReadError>> {
        self.keep_alive(id)
    }

    fn position(&self) -> Position {
        Position {
            raft_index: self.index.load(Ordering::Relaxed),
            raft_term: 2,
        }
    }

    fn committed_index(&self) -> u64 {
        self.position().raft_index
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    fn id(&self) -> MemberId {
        MEMBER
    }

    fn cluster_id(&self) -> ClusterId {
        ClusterId(0xc1)
    }

    fn members(&self) -> Vec<Member> {
        vec![Self::member()]
    }

    fn was_removed(&self, _id: MemberId) -> bool {
        false
    }

    fn add_member(&self, peer_urls: Vec<String>) -> Waiting<'_, Result<Member, MembershipError>> {
        Box::pin(async move {
            self.change_members()?;
            Ok(Member {
                id: MemberId(0xb2),
                name: String::new(),
                peer_urls,
                client_urls: Vec::new(),
                learner: true,
            })
        })
    }

    fn add_learner(&self, peer_urls: Vec<String>) -> Waiting<'_, Result<Member, MembershipError>> {
        self.add_member(peer_urls)
    }

    fn promote_member(&self, _id: MemberId) -> Waiting<'_, Result<(), MembershipError>> {
        Box::pin(async { self.change_members() })
    }

    fn transfer_leadership(&self, to: MemberId) -> Waiting<'_, Result<MemberId, TransferError>> {
        Box::pin(async move { Ok(to) })
    }

    fn remove_member(&self, _id: MemberId) -> Waiting<'_, Result<(), MembershipError>> {
        Box::pin(async { self.change_members() })
    }

    fn replace_member(
        &self,
        _id: MemberId,
        peer_urls: Vec<String>,
    ) -> Waiting<'_, Result<Member, MembershipError>> {
        self.add_member(peer_urls)
    }

    fn update_member(
        &self,
        _id: MemberId,
        _peer_urls: Vec<String>,
    ) -> Waiting<'_, Result<(), MembershipError>> {
        Box::pin(async { self.change_members() })
    }

    fn peer_statistics(&self) -> PeerStatistics {
        PeerStatistics::default()
    }

    fn view(&self) -> Box<dyn Tables + Send> {
        Box::new(self.store.view())
    }

    fn history(&self) -> Arc<dyn HistoryPages> {
        Arc::new(StoreHistory(self.store.history()))
    }

    fn subscribe(&self, on_events: OnEvents) {
        self.store.subscribe(on_events);
    }

    fn subscribe_to_installs(&self, on_install: OnInstall) {
        self.store.subscribe_to_installs(on_install);
    }

    fn snapshot(&self) -> Result<Box<dyn Read + Send>, FlushError> {
        Ok(Box::new(self.store.snapshot()?))
    }

    fn storage(&self) -> kv_store::Statistics {
        self.store.statistics()
    }

    fn fsyncs(&self) -> Durations {
        Durations::default()
    }
}

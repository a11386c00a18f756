//! One member of a cluster, as the daemon sees it.
//!
//! The parts are elsewhere; [`crate::start`] puts them together.
use std::sync::Arc;
use std::time::Duration;

use kv_model::outcome::Outcome;
use kv_model::{Command, LeaseId};
use kv_store::Store;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use raft_log::RaftLog;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::ReadError;
use crate::error::{MembershipError, ProposeError, StartError, TransferError};
use crate::lease_desk::LeaseQuestion;
use crate::member::{ClusterId, Member, MemberId};
use crate::peer::server::{Door, Phase};
use crate::peer::wire::MembershipChange;
use crate::services::Services;
use crate::settings::Settings;
use crate::statistics::PeerStatistics;
use crate::status::{Role, Status};
use crate::watcher::Told;

/// What came of a command, and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The store's answer.
    pub outcome: Outcome,
    /// The entry that carried it.
    pub raft_index: u64,
    /// That entry's term.
    pub raft_term: u64,
}

/// How far this member has applied the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The last applied entry.
    pub raft_index: u64,
    /// Its term.
    pub raft_term: u64,
}

/// One member of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Replica {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "member {} of {}", self.id(), self.cluster_id())
    }
}

pub(crate) struct Inner {
    pub(crate) services: Arc<Services>,
    pub(crate) told: Told,
    pub(crate) log: RaftLog,
    pub(crate) door: Door,
    pub(crate) timeout: Duration,
    pub(crate) election_timeout: Duration,
    pub(crate) tasks: Mutex<Tasks>,
}

/// Tasks that end with the member.
#[derive(Default)]
pub(crate) struct Tasks(pub(crate) Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Replica {
    /// Starts a member: opens its folder, answers peers, forms or joins a cluster if the folder is
    /// empty. It returns when the member takes part (which waits for the others of a new cluster),
    /// not when a leader is elected. Dropping the future gives up.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        crate::start::start(settings).await
    }

    /// Puts a command into the log, wherever the leader is, and waits for its outcome. Afterwards
    /// this member has applied it too, so that its own readers see it.
    ///
    /// Never retried once it may have reached a log.
    pub async fn propose(&self, command: Command) -> Result<Committed, ProposeError> {
        let services = &self.inner.services;
        let deadline = Instant::now() + self.inner.timeout;
        let committed = services.proposer.propose(&command).await?;
        // It is committed whether this member has it in time or not.
        services
            .reader
            .applied(committed.raft_index, deadline)
            .await
            .ok();
        Ok(committed)
    }

    /// Waits until the store here holds everything that was acknowledged, anywhere in the cluster,
    /// before this call.
    pub async fn linearize(&self) -> Result<Position, ReadError> {
        self.inner.services.reader.linearize().await
    }

    /// Gives a lease its whole time again, wherever the leader is, and says how many seconds that is;
    /// nothing if there is no such lease. Writes nothing.
    pub async fn keep_alive(&self, id: LeaseId) -> Result<Option<i64>, ReadError> {
        let question = LeaseQuestion::KeepAlive(id);
        self.inner.services.lease_desk.ask(question).await
    }

    /// How many whole seconds a lease still lives, as the leader knows; nothing if there is no such
    /// lease.
    pub async fn lease_remaining(&self, id: LeaseId) -> Result<Option<i64>, ReadError> {
        let question = LeaseQuestion::Remaining(id);
        self.inner.services.lease_desk.ask(question).await
    }

    /// The store. Reads of its views are as old as this member is behind.
    pub fn store(&self) -> &Store {
        self.inner.services.machine.store()
    }

    /// The log, for its figures.
    pub fn log(&self) -> &RaftLog {
        &self.inner.log
    }

    /// How far this member has applied the log.
    pub fn position(&self) -> Position {
        *self.inner.services.machine.position().borrow()
    }

    /// The last entry known to be committed.
    pub fn committed_index(&self) -> u64 {
        let metrics = self.inner.services.raft.metrics();
        let committed = metrics
            .borrow_watched()
            .local_committed
            .map_or(0, |id| id.index);
        committed.max(self.position().raft_index)
    }

    /// Commands of this member's clients and of other members that wait for the log.
    pub fn waiting_commands(&self) -> usize {
        self.inner.services.proposer.waiting()
    }

    /// How many bytes of a snapshot have come, while one comes.
    pub fn receiving_snapshot(&self) -> Option<u64> {
        *self.inner.services.received.borrow()
    }

    /// Role, term and leader, as they change.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.inner.told.status.subscribe()
    }

    /// This member's id.
    pub fn id(&self) -> MemberId {
        self.inner.services.id()
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> ClusterId {
        self.inner.services.cluster()
    }

    /// All members, by id, as this member knows them.
    pub fn members(&self) -> Vec<Member> {
        self.inner.services.members()
    }

    /// Whether a member of this id was removed earlier.
    pub fn was_removed(&self, id: MemberId) -> bool {
        self.inner.services.is_removed(id)
    }

    /// Announces a member that will join with [`crate::Start::JoinExisting`]. It learns first, and
    /// gets its vote by itself once it has caught up. The name may be empty.
    pub async fn add_member(
        &self,
        name: String,
        peer_urls: Vec<String>,
    ) -> Result<Member, MembershipError> {
        let change = MembershipChange::Add { name, peer_urls };
        self.change_to_member(change).await
    }

    /// As [`Replica::add_member`], but it stays a learner until it is promoted.
    pub async fn add_learner(&self, peer_urls: Vec<String>) -> Result<Member, MembershipError> {
        let change = MembershipChange::AddLearner { peer_urls };
        self.change_to_member(change).await
    }

    /// Gives a learner its vote, once it has caught up.
    pub async fn promote_member(&self, id: MemberId) -> Result<(), MembershipError> {
        self.change(MembershipChange::Promote(id)).await.map(drop)
    }

    /// Takes a member out for good.
    pub async fn remove_member(&self, id: MemberId) -> Result<(), MembershipError> {
        self.change(MembershipChange::Remove(id)).await.map(drop)
    }

    /// Changes where the others reach a member.
    pub async fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Result<(), MembershipError> {
        let change = MembershipChange::Update { id, peer_urls };
        self.change(change).await.map(drop)
    }

    /// Takes out a member that lost its data and announces another in its place, of a new id.
    /// Without URLs, those of the old one are taken.
    pub async fn replace_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Result<Member, MembershipError> {
        let change = MembershipChange::Replace { id, peer_urls };
        self.change_to_member(change).await
    }

    /// Tells the cluster this member's name and where clients reach it. Nothing is written if the
    /// cluster knows it already.
    pub async fn publish_client_urls(
        &self,
        name: String,
        urls: Vec<String>,
    ) -> Result<(), MembershipError> {
        let id = self.id();
        let known =
            |member: &Member| member.id == id && member.name == name && member.client_urls == urls;
        if self.members().iter().any(known) {
            return Ok(());
        }
        let client_urls = urls;
        let change = MembershipChange::Publish {
            id,
            name,
            client_urls,
        };
        self.change(change).await.map(drop)
    }

    async fn change(&self, change: MembershipChange) -> Result<Option<Member>, MembershipError> {
        self.inner.services.router.change(change).await
    }

    async fn change_to_member(&self, change: MembershipChange) -> Result<Member, MembershipError> {
        self.change(change).await?.ok_or(MembershipError::TimedOut)
    }

    /// Hands the leadership to another member, or to the one that has most of the log. Returns who
    /// has it.
    pub async fn transfer_leadership(
        &self,
        to: Option<MemberId>,
    ) -> Result<MemberId, TransferError> {
        let raft = &self.inner.services.raft;
        let target = self.transfer_target(to)?;
        let triggered = raft.trigger().transfer_leader(target).await;
        triggered.map_err(|_| TransferError::Stopped)?;
        let own = self.id();
        let mut status = self.status();
        let taken = |status: &Status| {
            status.has_ended() || status.leader.is_some_and(|leader| leader != own)
        };
        let patience = 2 * self.inner.election_timeout;
        let taken = tokio::time::timeout(patience, status.wait_for(taken)).await;
        let status = taken
            .map_err(|_| TransferError::TimedOut)?
            .map_err(|_| TransferError::Stopped)?;
        status.leader.ok_or(TransferError::Stopped)
    }

    fn transfer_target(&self, to: Option<MemberId>) -> Result<MemberId, TransferError> {
        let metrics = self.inner.services.raft.metrics();
        let metrics = metrics.borrow_watched();
        if !metrics.state.is_leader() {
            return Err(TransferError::NotLeader);
        }
        let matched = |id: &MemberId| metrics.replication.as_ref()?.get(id).copied().flatten();
        let voters = metrics.membership_config.membership().voter_ids();
        let target = voters
            .filter(|id| *id != metrics.id && to.is_none_or(|to| to == *id))
            .max_by_key(matched);
        target.ok_or(TransferError::NoTarget)
    }

    /// What was sent to and received from the other members.
    pub fn peer_statistics(&self) -> PeerStatistics {
        self.inner.services.peers.traffic().statistics()
    }

    /// Hands the leadership over, makes everything durable and stops. The folder can be opened
    /// again once all clones of this are gone.
    pub async fn shutdown(&self) {
        if let Err(error) = self.transfer_leadership(None).await {
            tracing::debug!(%error, "stopping without handing the leadership over");
        }
        self.stop().await;
    }

    /// Stops as it is.
    pub(crate) async fn stop(&self) {
        let inner = &self.inner;
        inner.told.end(Role::Stopped);
        inner.door.enter(Phase::Starting);
        drop(std::mem::take(&mut *inner.tasks.lock()));
        inner.services.raft.shutdown().await.ok();
        let (store, log) = (self.store().clone(), inner.log.clone());
        let closing = tokio::task::spawn_blocking(move || {
            if let Err(error) = store.flush() {
                tracing::warn!(%error, "the store is not up to date on the disk; the log has the rest");
            }
            log.close();
        });
        closing.await.ok();
    }
}

impl Drop for Inner {
    /// A member that nobody holds any more stops, without handing anything over.
    fn drop(&mut self) {
        self.door.enter(Phase::Starting);
        let raft = self.services.raft.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { raft.shutdown().await.ok() });
        }
    }
}

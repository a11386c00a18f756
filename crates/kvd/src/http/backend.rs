//! What the face for clients needs of the replica and its store.
//!
//! A seam: besides the replica there are doubles for tests, which can refuse, hang and lead or not as
//! told. The calls are as cheap as the replica's; a boxed future is the only cost.
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;

use kv_cluster::{
    ClusterId, Committed, Member, MemberId, MembershipError, PeerStatistics, Position,
    ProposeError, ReadError, Status, TransferError,
};
use kv_model::{Command, Event, LeaseId, Tables};
use kv_store::FlushError;
use tokio::sync::watch;

use super::durations::Durations;
use crate::watch::HistoryPages;

/// Something that takes its time.
pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Gets events as they become visible, in their order.
pub type OnEvents = Box<dyn Fn(&[Arc<Event>]) + Send + Sync>;

/// Is called when the store was replaced by a snapshot.
pub type OnInstall = Box<dyn Fn() + Send + Sync>;

/// What the face for clients needs of the replica and its store.
pub trait Backend: Send + Sync + 'static {
    /// See [`kv_cluster::Replica::propose`].
    fn propose(&self, command: Command) -> Waiting<'_, Result<Committed, ProposeError>>;
    /// See [`kv_cluster::Replica::linearize`].
    fn linearize(&self) -> Waiting<'_, Result<Position, ReadError>>;
    /// See [`kv_cluster::Replica::keep_alive`].
    fn keep_alive(&self, id: LeaseId) -> Waiting<'_, Result<Option<i64>, ReadError>>;
    /// See [`kv_cluster::Replica::lease_remaining`].
    fn lease_remaining(&self, id: LeaseId) -> Waiting<'_, Result<Option<i64>, ReadError>>;
    /// See [`kv_cluster::Replica::position`].
    fn position(&self) -> Position;
    /// See [`kv_cluster::Replica::committed_index`].
    fn committed_index(&self) -> u64;
    /// See [`kv_cluster::Replica::status`].
    fn status(&self) -> watch::Receiver<Status>;
    /// See [`kv_cluster::Replica::id`].
    fn id(&self) -> MemberId;
    /// See [`kv_cluster::Replica::cluster_id`].
    fn cluster_id(&self) -> ClusterId;
    /// See [`kv_cluster::Replica::members`].
    fn members(&self) -> Vec<Member>;
    /// See [`kv_cluster::Replica::was_removed`].
    fn was_removed(&self, id: MemberId) -> bool;
    /// See [`kv_cluster::Replica::add_member`].
    fn add_member(&self, peer_urls: Vec<String>) -> Waiting<'_, Result<Member, MembershipError>>;
    /// See [`kv_cluster::Replica::add_learner`].
    fn add_learner(&self, peer_urls: Vec<String>) -> Waiting<'_, Result<Member, MembershipError>>;
    /// See [`kv_cluster::Replica::promote_member`].
    fn promote_member(&self, id: MemberId) -> Waiting<'_, Result<(), MembershipError>>;
    /// See [`kv_cluster::Replica::transfer_leadership`].
    fn transfer_leadership(&self, to: MemberId) -> Waiting<'_, Result<MemberId, TransferError>>;
    /// See [`kv_cluster::Replica::remove_member`].
    fn remove_member(&self, id: MemberId) -> Waiting<'_, Result<(), MembershipError>>;
    /// See [`kv_cluster::Replica::replace_member`].
    fn replace_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Waiting<'_, Result<Member, MembershipError>>;
    /// See [`kv_cluster::Replica::update_member`].
    fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Waiting<'_, Result<(), MembershipError>>;
    /// See [`kv_cluster::Replica::peer_statistics`].
    fn peer_statistics(&self) -> PeerStatistics;
    /// The store at this moment.
    fn view(&self) -> Box<dyn Tables + Send>;
    /// The store's past events.
    fn history(&self) -> Arc<dyn HistoryPages>;
    /// Has the store call this with its events. Done once.
    fn subscribe(&self, on_events: OnEvents);
    /// Has the store call this when it was replaced by a snapshot. Done once.
    fn subscribe_to_installs(&self, on_install: OnInstall);
    /// A copy of the store at this moment, as it is read. Blocks: it is made durable first.
    fn snapshot(&self) -> Result<Box<dyn Read + Send>, FlushError>;
    /// How large the store is.
    fn storage(&self) -> kv_store::Statistics;
    /// How long the log took to make entries durable.
    fn fsyncs(&self) -> Durations;
}

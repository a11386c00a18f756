//! The replica as the face for clients uses it.
//!
//! It only passes on.
use std::io::Read;
use std::sync::Arc;

use kv_cluster::{
    ClusterId, Committed, Member, MemberId, MembershipError, PeerStatistics, Position,
    ProposeError, ReadError, Replica, Status, TransferError,
};
use kv_model::{Command, LeaseId, Tables};
use kv_store::FlushError;
use tokio::sync::watch;

use super::backend::{Backend, OnEvents, OnInstall, Waiting};
use super::durations::Durations;
use crate::watch::{HistoryPages, StoreHistory};

impl Backend for Replica {
    fn propose(&self, command: Command) -> Waiting<'_, Result<Committed, ProposeError>> {
        Box::pin(self.propose(command))
    }

    fn linearize(&self) -> Waiting<'_, Result<Position, ReadError>> {
        Box::pin(self.linearize())
    }

    fn keep_alive(&self, id: LeaseId) -> Waiting<'_, Result<Option<i64>, ReadError>> {
        Box::pin(self.keep_alive(id))
    }

    fn lease_remaining(&self, id: LeaseId) -> Waiting<'_, Result<Option<i64>, ReadError>> {
        Box::pin(self.lease_remaining(id))
    }

    fn position(&self) -> Position {
        self.position()
    }

    fn committed_index(&self) -> u64 {
        self.committed_index()
    }

    fn status(&self) -> watch::Receiver<Status> {
        self.status()
    }

    fn id(&self) -> MemberId {
        self.id()
    }

    fn cluster_id(&self) -> ClusterId {
        self.cluster_id()
    }

    fn members(&self) -> Vec<Member> {
        self.members()
    }

    fn was_removed(&self, id: MemberId) -> bool {
        self.was_removed(id)
    }

    fn add_member(&self, peer_urls: Vec<String>) -> Waiting<'_, Result<Member, MembershipError>> {
        // etcd's request has no name; the member says it when it starts.
        Box::pin(self.add_member(String::new(), peer_urls))
    }

    fn add_learner(&self, peer_urls: Vec<String>) -> Waiting<'_, Result<Member, MembershipError>> {
        Box::pin(self.add_learner(peer_urls))
    }

    fn promote_member(&self, id: MemberId) -> Waiting<'_, Result<(), MembershipError>> {
        Box::pin(self.promote_member(id))
    }

    fn transfer_leadership(&self, to: MemberId) -> Waiting<'_, Result<MemberId, TransferError>> {
        Box::pin(self.transfer_leadership(Some(to)))
    }

    fn remove_member(&self, id: MemberId) -> Waiting<'_, Result<(), MembershipError>> {
        Box::pin(self.remove_member(id))
    }

    fn replace_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Waiting<'_, Result<Member, MembershipError>> {
        Box::pin(self.replace_member(id, peer_urls))
    }

    fn update_member(
        &self,
        id: MemberId,
        peer_urls: Vec<String>,
    ) -> Waiting<'_, Result<(), MembershipError>> {
        Box::pin(self.update_member(id, peer_urls))
    }

    fn peer_statistics(&self) -> PeerStatistics {
        self.peer_statistics()
    }

    fn view(&self) -> Box<dyn Tables + Send> {
        Box::new(self.store().view())
    }

    fn history(&self) -> Arc<dyn HistoryPages> {
        Arc::new(StoreHistory(self.store().history()))
    }

    fn subscribe(&self, on_events: OnEvents) {
        self.store().subscribe(on_events);
    }

    fn subscribe_to_installs(&self, on_install: OnInstall) {
        self.store().subscribe_to_installs(on_install);
    }

    fn snapshot(&self) -> Result<Box<dyn Read + Send>, FlushError> {
        Ok(Box::new(self.store().snapshot()?))
    }

    fn storage(&self) -> kv_store::Statistics {
        self.store().statistics()
    }

    fn fsyncs(&self) -> Durations {
        let histogram = self.log().fsync_histogram();
        let buckets = histogram.cumulative();
        Durations {
            buckets: buckets
                .map(|(bound, count)| (bound.as_secs_f64(), count))
                .collect(),
            count: histogram.count(),
            sum_seconds: histogram.sum().as_secs_f64(),
        }
    }
}

//! openraft's network: its requests become calls to members.
//!
//! What the members answer is decided by [`super::server`].
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RaftNetworkV2};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::member::{MemberId, NodeData};
use crate::peer::client::{Lane, Peers};
use crate::peer::connect::CallError;
use crate::peer::pipeline::{Pipeline, rpc_error};
use crate::peer::streams;
use crate::peer::wire::{SnapshotHead, WireError, decode, encode};
use crate::state_machine::SnapshotData;
use crate::types::{TypeConfig, Vote};

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

/// Makes the ways to single members.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    peers: Peers,
    /// How long the log may be without an answer.
    patience: Duration,
}

impl Network {
    /// Over these connections.
    pub(crate) fn new(peers: Peers, patience: Duration) -> Self {
        Self { peers, patience }
    }

    fn way(&self, to: MemberId, node: &NodeData, purpose: Purpose) -> Way {
        self.peers.locate(to, &node.peer_urls);
        Way {
            peers: self.peers.clone(),
            to,
            purpose,
            patience: self.patience,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: MemberId, node: &NodeData) -> Way {
        self.way(target, node, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: MemberId, node: &NodeData) -> Way {
        self.way(target, node, Purpose::Heartbeat)
    }
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    Log,
    Heartbeat,
}

/// The way to one member.
#[derive(Debug)]
pub(crate) struct Way {
    peers: Peers,
    to: MemberId,
    purpose: Purpose,
    patience: Duration,
}

impl Way {
    async fn control<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        request: &Q,
        timeout: Duration,
    ) -> Rpc<A> {
        let body = encode(request).map_err(|error| unreachable_by(&error))?;
        let answer = self
            .peers
            .call(self.to, Lane::Control, path, body, timeout)
            .await;
        let bytes: Bytes = answer.map_err(|error| rpc_error(&error))?;
        decode(&bytes).map_err(|error| unreachable_by(&error))
    }
}

fn unreachable_by(error: &WireError) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

impl RaftNetworkV2<TypeConfig> for Way {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        let began = tokio::time::Instant::now();
        let result = self
            .control("/heartbeat", &request, option.soft_ttl())
            .await;
        match &result {
            Ok(_) => self.peers.traffic().answered(self.to, began.elapsed()),
            Err(_) => self.peers.traffic().failed(self.to),
        }
        result
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        if let Purpose::Heartbeat = self.purpose {
            return stream_append_sequential(self, input, option);
        }
        let opening = Pipeline::open(self.peers.clone(), self.to, input, self.patience);
        Box::pin(async move {
            let answers: BoxStream<'s, _> = match opening.await? {
                Some(pipeline) => Box::pin(pipeline),
                None => Box::pin(futures::stream::empty()),
            };
            Ok(answers)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.control("/vote", &request, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.control("/pre-vote", &request, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::alias::SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let head = SnapshotHead {
            vote,
            last_log_id: snapshot.meta.last_log_id,
            membership: snapshot.meta.last_membership.clone(),
        };
        let sending = streams::send_snapshot(&self.peers, self.to, &head, snapshot.snapshot);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = sending => sent.map_err(|error| snapshot_error(&error)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        self.control("/transfer-leader", &request, option.soft_ttl())
            .await
    }
}

/// A snapshot that fails must not be tried again at once: reading it costs much.
fn snapshot_error(error: &CallError) -> StreamingError<TypeConfig> {
    tracing::warn!(error = %io::Error::other(error.to_string()), "a snapshot was not sent");
    StreamingError::Unreachable(Unreachable::new(error))
}

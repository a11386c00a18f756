//! The types that openraft is used with.
//!
//! A log entry carries many commands, already encoded; applying it gives their outcomes.
use std::fmt;

use bytes::Bytes;
use kv_model::outcome::Outcome;
use openraft::raft::responder::Responder;
use openraft::{EntryPayload, RaftTypeConfig};
use serde::{Deserialize, Serialize};

use crate::member::{MemberId, NodeData};
use crate::state_machine::StateMachine;

/// openraft, as it is used here.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
/// The term, and who leads in it.
pub(crate) type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, MemberId>;
/// The place of an entry in the log.
pub(crate) type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// A vote.
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
/// A log entry.
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
/// Who is in the cluster.
pub(crate) type Membership = openraft::Membership<MemberId, NodeData>;
/// Who is in the cluster, and which entry says so.
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// What openraft says of a client's write.
pub(crate) type WriteResult = openraft::raft::ClientWriteResult<TypeConfig>;

/// The choice of types for openraft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl RaftTypeConfig for TypeConfig {
    type D = Batch;
    type R = Vec<Outcome>;
    type NodeId = MemberId;
    type Node = NodeData;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = openraft::Vote<LeaderId>;
    type Payload = EntryPayload<Batch, MemberId, NodeData>;
    type Entry = openraft::Entry<LeaderId, Self::Payload>;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = Reply<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// Commands as postcard encodes a list of [`kv_model::Command`]. Encoded once by whoever was asked,
/// decoded once by each member that applies it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch(pub(crate) Bytes);

impl fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes of commands", self.0.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Called with what came of a write, or with nothing if openraft dropped it. Without a channel, so
/// that whoever waits for a command is woken by the task that applied it.
pub(crate) struct Reply<T>(Option<Box<dyn FnOnce(Option<T>) + Send>>);

impl<T> Reply<T> {
    /// With what to do.
    pub(crate) fn new(done: impl FnOnce(Option<T>) + Send + 'static) -> Self {
        Self(Some(Box::new(done)))
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for Reply<T> {
    fn on_complete(mut self, result: T) {
        if let Some(done) = self.0.take() {
            done(Some(result));
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(None);
        }
    }
}

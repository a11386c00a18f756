//! One call: who calls, what came with it, and what every method needs.
//!
//! What a method does is in the other modules.
use std::pin::Pin;
use std::sync::Arc;

use etcd_v3::{Code, Place, Status, frame};
use hyper::http::request::Parts;
use kv_cluster::{Committed, ProposeError, ReadError};
use kv_model::{Command, Revision, TableError, query};
use prost::Message;

use super::caller::{self, Caller};
use super::incoming::CallBody;
use crate::http::connection::PeerIdentity;
use crate::http::keys::storage_failed;
use crate::http::request_body::{self, BodyError};
use crate::http::state::ServerState;

/// What a message may have beyond what a command may: etcd's `grpcOverheadBytes`.
const OVERHEAD_BYTES: usize = 512 * 1024;

/// One call.
pub(super) struct Call<'a> {
    pub(super) state: &'a Arc<ServerState>,
    peer: &'a PeerIdentity,
    head: &'a Parts,
    body: CallBody,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        state: &'a Arc<ServerState>,
        peer: &'a PeerIdentity,
        head: &'a Parts,
        body: CallBody,
    ) -> Self {
        Self {
            state,
            peer,
            head,
            body,
        }
    }

    /// A client may want to be refused rather than wait for a leader.
    pub(super) fn check_leader(&self) -> Result<(), Status> {
        let wants = self.head.headers.get("hasleader");
        let wants = wants.is_some_and(|text| text.as_bytes() == b"true");
        if wants && self.state.backend.status().borrow().leader.is_none() {
            return Err(Status::NO_LEADER);
        }
        Ok(())
    }

    /// The requests of a stream.
    pub(super) fn into_body(self) -> CallBody {
        self.body
    }

    /// The one message of the request, who sent it, and the way to carry it out. Users must say who
    /// they are, if they matter.
    pub(super) async fn read<M: Message + Default>(self) -> Result<(M, Caller, Door<'a>), Status> {
        let caller = self.caller().await?;
        if matches!(caller, Caller::Nobody) {
            return Err(Status::USER_EMPTY);
        }
        let (message, door) = self.read_open().await?;
        Ok((message, caller, door))
    }

    /// As [`Call::read`], of what everybody may ask.
    pub(super) async fn read_open<M: Message + Default>(self) -> Result<(M, Door<'a>), Status> {
        let options = &self.state.options;
        let bytes_max = message_bytes_max(self.state);
        let time_max = options.receive_timeout;
        let door = Door { state: self.state };
        let body = match self.body {
            CallBody::Framed(body) => body,
            CallBody::Message(message) => return Ok((frame::decode(message)?, door)),
            CallBody::Json(_) => return Err(unexpected()),
        };
        // Its head is not part of a message.
        let body = request_body::read(body, bytes_max + 5, time_max).await;
        let body = body.map_err(|error| match error {
            BodyError::TooLarge => Status::of(
                Code::ResourceExhausted,
                format!("grpc: received message larger than max ({bytes_max})"),
            ),
            BodyError::Broken | BodyError::TimedOut => {
                Status::of(Code::Canceled, format!("grpc: {error}"))
            }
        })?;
        let message = frame::read_single(body, bytes_max)?;
        Ok((message, door))
    }

    /// Who calls.
    pub(super) async fn caller(&self) -> Result<Caller, Status> {
        caller::find(self.state, self.peer, &self.head.headers).await
    }
}

/// The largest message that is taken.
pub(super) fn message_bytes_max(state: &ServerState) -> usize {
    state.options.request_bytes_max + OVERHEAD_BYTES
}

/// The way to the replica.
#[derive(Clone, Copy)]
pub(super) struct Door<'a> {
    pub(super) state: &'a Arc<ServerState>,
}

impl Door<'_> {
    /// Who answers, as of now.
    pub(super) fn place(self) -> Place {
        place(self.state)
    }

    /// The revision of what is applied here.
    pub(super) fn revision(self) -> Result<Revision, Status> {
        query::revision(&*self.state.backend.view()).map_err(unreadable)
    }

    /// Has a command carried out.
    pub(super) async fn propose(self, command: Command) -> Result<Committed, Status> {
        let Some(_admitted) = self.state.admit() else {
            return Err(Status::TOO_MANY_REQUESTS);
        };
        let committed = self.state.backend.propose(command).await;
        committed.map_err(|error| {
            self.state.metrics.proposal_failed();
            not_proposed(&error)
        })
    }

    /// Waits until what is read here is as new as the call.
    pub(super) async fn linearize(self) -> Result<(), Status> {
        let position = self.state.backend.linearize().await;
        position.map(drop).map_err(not_read)
    }
}

/// Comes when the server stops.
pub(super) fn stopped(state: &ServerState) -> Stopped {
    let mut stopping = state.stopping.subscribe();
    Box::pin(async move {
        // An error means that the server is gone, which is the same.
        let _ = stopping.wait_for(|stops| *stops).await;
    })
}

/// That the server stops.
pub(super) type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who answers, as of now.
pub(super) fn place(state: &ServerState) -> Place {
    Place {
        cluster_id: state.backend.cluster_id().0,
        member_id: state.backend.id().0,
        raft_term: state.backend.status().borrow().term,
    }
}

/// The store cannot be read. The reasons are for the log, not for clients.
#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
pub(super) fn unreadable(error: TableError) -> Status {
    storage_failed(&error);
    Status::STORAGE
}

/// Why the leader could not be asked.
#[allow(clippy::needless_pass_by_value)] // as `map_err` gives it
pub(super) fn not_read(error: ReadError) -> Status {
    match error {
        ReadError::NoLeader => Status::NO_LEADER,
        ReadError::TimedOut => Status::TIMED_OUT,
        ReadError::Stopped => Status::STOPPED,
    }
}

/// The replica's answer is of another kind than the command.
pub(super) fn unexpected() -> Status {
    Status::new(Code::Internal, "etcdserver: unexpected answer")
}

fn not_proposed(error: &ProposeError) -> Status {
    match error {
        ProposeError::NoLeader => Status::NO_LEADER,
        ProposeError::TimedOut => Status::TIMED_OUT,
        ProposeError::OutcomeUnknown => Status::OUTCOME_UNKNOWN,
        ProposeError::TooManyRequests => Status::TOO_MANY_REQUESTS,
        ProposeError::TooLarge { .. } => Status::TOO_LARGE,
        ProposeError::NoSpace => Status::NO_SPACE,
        ProposeError::Stopped => Status::STOPPED,
    }
}

//! What a running member answers to the others' requests.
//!
//! Each request is decoded, given to whoever it is for, and the answer encoded.
use std::path::PathBuf;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use openraft::SnapshotMeta;
use openraft::alias::SnapshotOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, VoteRequest,
};
use tokio::sync::{mpsc, watch};

use crate::error::MembershipError;
use crate::lease_desk::{LeaseDesk, LeaseQuestion};
use crate::member::{ClusterId, Member, MemberId};
use crate::membership::Changer;
use crate::peer::client::Peers;
use crate::peer::connect::PeerBody;
use crate::peer::pipeline::stream_body;
use crate::peer::server::{Answered, Refused, message};
use crate::peer::streams::receive_snapshot;
use crate::peer::wire::{
    Acquaintance, AppendAnswer, ForwardAnswer, ForwardRefusal, Frames, Hello, Join, JoinAnswer,
    MembershipAnswer, MembershipChange, decode, frame,
};
use crate::propose::{Proposer, split_batch};
use crate::read_index::Reader;
use crate::room::Room;
use crate::route::Router;
use crate::state_machine::{SnapshotData, StateMachine};
use crate::types::{Membership, Raft, TypeConfig};

/// Appends of one stream that openraft has not answered yet.
const APPENDS_WAITING: usize = 16;

/// The parts of a running member.
pub(crate) struct Services {
    /// This member's name.
    pub(crate) name: String,
    /// openraft.
    pub(crate) raft: Raft,
    /// The way to the others.
    pub(crate) peers: Peers,
    /// The store's side.
    pub(crate) machine: StateMachine,
    /// Puts commands into the log.
    pub(crate) proposer: Proposer,
    /// Linearizes reads.
    pub(crate) reader: Reader,
    /// Changes members, if this one leads.
    pub(crate) changer: Changer,
    /// Finds who leads, for changes.
    pub(crate) router: Router,
    /// Asks who leads about leases.
    pub(crate) lease_desk: LeaseDesk,
    /// Whether there is room.
    pub(crate) room: Room,
    /// Where a snapshot that comes in is kept.
    pub(crate) incoming_snapshot: PathBuf,
    /// How much of it has come.
    pub(crate) received: watch::Sender<Option<u64>>,
    /// One snapshot at a time.
    pub(crate) receiving: tokio::sync::Mutex<()>,
}

/// All members of a membership.
pub(crate) fn members_of(membership: &Membership) -> Vec<Member> {
    let learners: Vec<MemberId> = membership.learner_ids().collect();
    (membership.nodes())
        .map(|(id, node)| node.member(*id, learners.contains(id)))
        .collect()
}

fn fatal<E: std::fmt::Display>(error: E) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

impl Services {
    /// This member's id.
    pub(crate) fn id(&self) -> MemberId {
        self.peers.own()
    }

    /// The cluster's id.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.peers.cluster()
    }

    /// Whether a member was removed.
    pub(crate) fn is_removed(&self, id: MemberId) -> bool {
        self.machine.is_removed(id)
    }

    /// All members, as this one knows them.
    pub(crate) fn members(&self) -> Vec<Member> {
        members_of(
            self.raft
                .metrics()
                .borrow_watched()
                .membership_config
                .membership(),
        )
    }

    /// All members as JSON, as etcd's peers show them.
    pub(crate) fn members_json(&self) -> String {
        crate::json::members(&self.members())
    }

    /// For a member that starts with an empty folder.
    pub(crate) fn acquaintance(&self) -> Acquaintance {
        Acquaintance {
            me: Hello {
                name: self.name.clone(),
                id: self.id(),
                cluster_id: self.cluster(),
            },
            members: self.members(),
            removed: self.machine.progress().removed().iter().copied().collect(),
        }
    }

    /// A member joins with an empty folder.
    pub(crate) async fn join(&self, body: Bytes) -> Answered {
        let join: Join = decode(&body).map_err(Refused::bad)?;
        let change = MembershipChange::Join(join);
        message(&match self.router.change(change).await {
            Ok(Some(member)) => JoinAnswer::Joined(member.id, self.cluster()),
            Ok(None) | Err(MembershipError::NotFound(_)) => JoinAnswer::NotAdded,
            Err(MembershipError::AlreadyStarted(id)) => JoinAnswer::LostData(id),
            Err(MembershipError::NameInUse { id, .. }) => JoinAnswer::NameInUse(id),
            Err(error) => JoinAnswer::Later(error),
        })
    }

    /// Appends come in, answers go out, in order.
    pub(crate) fn append(&self, body: Incoming) -> Response<PeerBody> {
        let (answers, answered) = mpsc::unbounded_channel();
        let (requests, waiting) = mpsc::channel(APPENDS_WAITING);
        let (room, peers) = (self.room.clone(), self.peers.clone());
        let end = answers.clone();
        let (done, all_answered) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let last = take_appends(body, requests, &room, &peers).await;
            // What was taken before is answered first.
            all_answered.await.ok();
            if let Some(last) = last.and_then(|last| frame(&last).ok()) {
                end.send(last).ok();
            }
        });
        let waiting = futures::stream::unfold(waiting, |mut waiting| async move {
            Some((waiting.recv().await?, waiting))
        });
        let mut results = Box::pin(self.raft.stream_append(waiting));
        let peers = self.peers.clone();
        tokio::spawn(async move {
            while let Some(result) = results.next().await {
                if let Ok(Ok(_)) = result {
                    peers.hear_leader();
                }
                let Ok(bytes) = frame(&append_answer(&result)) else {
                    break;
                };
                if answers.send(bytes).is_err() {
                    break;
                }
            }
            done.send(()).ok();
        });
        Response::new(stream_body(answered))
    }

    /// A heartbeat.
    pub(crate) async fn heartbeat(&self, body: Bytes) -> Answered {
        self.peers.traffic().received(body.len());
        let request: AppendEntriesRequest<TypeConfig> = decode(&body).map_err(Refused::bad)?;
        let response: AppendEntriesResponse<TypeConfig> =
            self.raft.append_entries(request).await.map_err(fatal)?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.peers.hear_leader();
        }
        message(&response)
    }

    /// A candidate asks for a vote.
    pub(crate) async fn vote(&self, body: Bytes) -> Answered {
        let request: VoteRequest<TypeConfig> = decode(&body).map_err(Refused::bad)?;
        message(&self.raft.vote(request).await.map_err(fatal)?)
    }

    /// A member asks whether it would get a vote.
    pub(crate) async fn pre_vote(&self, body: Bytes) -> Answered {
        let request: VoteRequest<TypeConfig> = decode(&body).map_err(Refused::bad)?;
        message(&self.raft.pre_vote(request).await.map_err(fatal)?)
    }

    /// The leader hands over.
    pub(crate) async fn transfer_leader(&self, body: Bytes) -> Answered {
        let request: TransferLeaderRequest<TypeConfig> = decode(&body).map_err(Refused::bad)?;
        message(
            &self
                .raft
                .handle_transfer_leader(request)
                .await
                .map_err(fatal)?,
        )
    }

    /// A snapshot comes in; it is answered when it is installed.
    pub(crate) async fn snapshot(&self, body: Incoming) -> Answered {
        let _one = self.receiving.lock().await;
        tracing::info!("receiving a snapshot");
        let head = receive_snapshot(body, &self.incoming_snapshot, &self.received).await;
        let head = head.map_err(|error| {
            tracing::warn!(%error, "a snapshot was not received");
            fatal(error)
        })?;
        let snapshot = SnapshotOf::<TypeConfig, SnapshotData> {
            meta: SnapshotMeta {
                last_log_id: head.last_log_id,
                last_membership: head.membership,
            },
            snapshot: SnapshotData::Received(self.incoming_snapshot.clone()),
        };
        let response = self.raft.install_full_snapshot(head.vote, snapshot).await;
        message(&response.map_err(fatal)?)
    }

    /// Commands that came to another member.
    pub(crate) async fn forward(&self, body: Bytes) -> Answered {
        let answer: ForwardAnswer = match split_batch(&body) {
            Some((count, commands)) => self.proposer.accept(count, commands).await,
            None => Err(ForwardRefusal::Invalid),
        };
        message(&answer)
    }

    /// Another member's reads.
    pub(crate) async fn read_index(&self) -> Answered {
        message(&self.reader.index_for_others().await)
    }

    /// What another member's clients ask about leases.
    pub(crate) async fn lease(&self, body: Bytes) -> Answered {
        let question: LeaseQuestion = decode(&body).map_err(Refused::bad)?;
        message(&self.lease_desk.answer(question).await)
    }

    /// A change of members that came to another member.
    pub(crate) async fn membership(&self, body: Bytes) -> Answered {
        let change: MembershipChange = decode(&body).map_err(Refused::bad)?;
        let answer: MembershipAnswer = self.changer.change(change).await;
        message(&answer)
    }
}

fn append_answer(
    result: &Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>,
) -> AppendAnswer {
    match result {
        Ok(Ok(log_id)) => AppendAnswer::Matched(*log_id),
        Ok(Err(StreamAppendError::Conflict(log_id))) => AppendAnswer::Conflict(*log_id),
        Ok(Err(StreamAppendError::HigherVote(vote))) => AppendAnswer::HigherVote(*vote),
        Err(_) => AppendAnswer::Stopped,
    }
}

/// Takes appends until the body ends, or one cannot be taken: then why.
async fn take_appends(
    mut body: Incoming,
    requests: mpsc::Sender<AppendEntriesRequest<TypeConfig>>,
    room: &Room,
    peers: &Peers,
) -> Option<AppendAnswer> {
    let mut frames = Frames::default();
    while let Some(Ok(piece)) = body.frame().await {
        let Some(bytes) = piece.data_ref() else {
            continue;
        };
        frames.push(bytes);
        while let Some(frame) = frames.next().ok()? {
            peers.traffic().received(frame.len());
            let request: AppendEntriesRequest<TypeConfig> = decode(&frame).ok()?;
            if !request.entries.is_empty() && !room.is_there() {
                return Some(AppendAnswer::NoSpace);
            }
            requests.send(request).await.ok()?;
        }
    }
    None
}

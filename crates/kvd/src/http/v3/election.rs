//! The service `Election`: whose turn it is in a queue leads, and its key says what it proclaims.
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use etcd_v3::proto::mvccpb;
use etcd_v3::proto::mvccpb::event::EventType;
use etcd_v3::proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use etcd_v3::{Code, Status, frame, header, keys};
use futures::stream::{BoxStream, StreamExt as _, try_unfold};
use kv_model::command::{KeyRange, Operation};
use kv_model::{LeaseId, Revision};

use super::call::{Call, Door, place};
use super::caller::Caller;
use super::kv;
use super::queue::{Queue, if_created, next_events, put, session, watch_after};
use super::reply::{self, Messages};
use crate::http::answer::Answer;
use crate::http::state::ServerState;
use crate::watch::Watcher;

const NOT_LEADER: Status = Status::new(Code::Unknown, "election: not leader");
const NO_LEADER: Status = Status::new(Code::Unknown, "election: no leader");
const NO_LEADER_KEY: Status = Status::new(Code::Unknown, "\"leader\" field must be provided");
/// The candidate's key is gone before its turn came.
const EXPIRED: &str = "election: session is expired";

/// `Campaign`: waits for the turn.
pub(super) async fn campaign(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<CampaignRequest>().await?;
    let lease = session(door, request.lease).await?;
    let queue = Queue::new(&request.name);
    let value = request.value;
    let mut candidate = queue.enter(door, &caller, lease, value.clone()).await?;
    if candidate.before.as_ref().is_some_and(|old| *old != value) {
        let (key, created) = (candidate.key.clone(), candidate.created);
        say(door, &caller, key, created, lease, value).await?;
    }
    queue.wait(door, &caller, &mut candidate, EXPIRED).await?;
    let leader = LeaderKey {
        name: request.name,
        key: candidate.key.clone(),
        rev: header::signed(candidate.created.0),
        lease: candidate.lease.0,
    };
    let header = door.place().header(candidate.revision);
    candidate.keep();
    Ok(reply::single(&CampaignResponse {
        header,
        leader: Some(leader),
    }))
}

/// Changes what a leader's or a candidate's key says.
async fn say(
    door: Door<'_>,
    caller: &Caller,
    key: Bytes,
    created: Revision,
    lease: LeaseId,
    value: Bytes,
) -> Result<Revision, Status> {
    let put = put(key.clone(), value, lease);
    let transaction = if_created(&key, created, put, None);
    let done = kv::carry_out(door, caller, transaction).await?;
    if done.succeeded {
        Ok(done.revision)
    } else {
        Err(NOT_LEADER)
    }
}

/// `Proclaim`.
pub(super) async fn proclaim(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<ProclaimRequest>().await?;
    let leader = request.leader.ok_or(NO_LEADER_KEY)?;
    let lease = session(door, leader.lease).await?;
    let created = header::revision(leader.rev);
    let revision = say(door, &caller, leader.key, created, lease, request.value).await?;
    let header = door.place().header(revision);
    Ok(reply::single(&ProclaimResponse { header }))
}

/// `Resign`. Who does not lead any more has nothing to do.
pub(super) async fn resign(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<ResignRequest>().await?;
    let leader = request.leader.ok_or(NO_LEADER_KEY)?;
    if leader.key.is_empty() {
        return Err(Status::EMPTY_KEY);
    }
    let remove = Operation::DeleteRange {
        keys: KeyRange::Single(leader.key.clone()),
        want_previous: false,
    };
    let created = header::revision(leader.rev);
    let transaction = if_created(&leader.key, created, remove, None);
    let done = kv::carry_out(door, &caller, transaction).await?;
    let header = door.place().header(done.revision);
    Ok(reply::single(&ResignResponse { header }))
}

/// `Leader`.
pub(super) async fn leader(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<LeaderRequest>().await?;
    let (node, revision) = Queue::new(&request.name).holder(door, &caller).await?;
    let node = node.ok_or(NO_LEADER)?;
    Ok(reply::single(&LeaderResponse {
        header: door.place().header(revision),
        kv: Some(keys::key_value(node)),
    }))
}

/// `Observe`: what each leader proclaims, one after the other.
pub(super) async fn observe(call: Call<'_>) -> Result<Answer, Status> {
    let state = Arc::clone(call.state);
    let (request, caller, _) = call.read::<LeaderRequest>().await?;
    let observer = Observer {
        queue: Queue::new(&request.name),
        state,
        caller,
        attention: Attention::Lost,
        ready: VecDeque::new(),
    };
    let told = try_unfold(observer, |mut observer| async move {
        let next = observer.next().await?;
        Ok(Some((next, observer)))
    });
    Ok(reply::stream(Observed(told.boxed())))
}

struct Observed(BoxStream<'static, Result<Bytes, Status>>);

impl Messages for Observed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        Pin::new(&mut self.0).poll_next_unpin(cx)
    }
}

struct Observer {
    queue: Queue,
    state: Arc<ServerState>,
    caller: Caller,
    attention: Attention,
    /// What was seen and is not told yet.
    ready: VecDeque<(Revision, mvccpb::KeyValue)>,
}

/// What an observer looks at.
enum Attention {
    /// At nothing: it has to find out who leads.
    Lost,
    /// At all candidates: there is none.
    Candidates(Box<Watcher>),
    /// At the leader's key.
    Leader(Bytes, Box<Watcher>),
}

impl Observer {
    async fn next(&mut self) -> Result<Bytes, Status> {
        loop {
            if let Some((revision, kv)) = self.ready.pop_front() {
                return Ok(frame::write(&LeaderResponse {
                    header: place(&self.state).header(revision),
                    kv: Some(kv),
                }));
            }
            match std::mem::replace(&mut self.attention, Attention::Lost) {
                Attention::Lost => self.find().await?,
                Attention::Candidates(watcher) => self.await_one(watcher).await?,
                Attention::Leader(key, watcher) => self.follow(key, watcher).await?,
            }
        }
    }

    async fn find(&mut self) -> Result<(), Status> {
        let door = Door { state: &self.state };
        door.check_still(&self.caller)?;
        let (holder, revision) = self.queue.holder(door, &self.caller).await?;
        match holder {
            None => {
                let watcher = watch_after(&self.state, self.queue.keys(), revision);
                self.attention = Attention::Candidates(Box::new(watcher));
            }
            Some(node) => self.turn_to(revision, keys::key_value(node)),
        }
        Ok(())
    }

    /// Tells of a leader and looks at its key from now on.
    fn turn_to(&mut self, revision: Revision, kv: mvccpb::KeyValue) {
        let key = kv.key.clone();
        let keys = KeyRange::Single(key.clone());
        let watcher = Box::new(watch_after(&self.state, keys, revision));
        self.attention = Attention::Leader(key, watcher);
        self.ready.push_back((revision, kv));
    }

    async fn await_one(&mut self, mut watcher: Box<Watcher>) -> Result<(), Status> {
        let events = next_events(&mut watcher, &self.queue.keys()).await?;
        let put = events
            .into_iter()
            .find(|event| event.r#type() == EventType::Put);
        match put.and_then(|event| event.kv) {
            Some(kv) => self.turn_to(header::revision(kv.mod_revision), kv),
            None => self.attention = Attention::Candidates(watcher),
        }
        Ok(())
    }

    async fn follow(&mut self, key: Bytes, mut watcher: Box<Watcher>) -> Result<(), Status> {
        let events = next_events(&mut watcher, &KeyRange::Single(key.clone())).await?;
        for event in events {
            if event.r#type() == EventType::Delete {
                return Ok(());
            }
            let kv = event.kv.unwrap_or_default();
            self.ready
                .push_back((header::revision(kv.mod_revision), kv));
        }
        self.attention = Attention::Leader(key, watcher);
        Ok(())
    }
}

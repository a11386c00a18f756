//! The service `Lease`: what keys hang on, and how long it lives.
//!
//! How long a lease still lives is known to the leader alone; it is asked.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use etcd_v3::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use etcd_v3::{Code, Status, frame};
use kv_model::auth::{Access, Subject};
use kv_model::command::KeyRange;
use kv_model::{Command, ErrorCode, LeaseId, Refusal, Reply, query};
use rustls::crypto::aws_lc_rs;

use super::call::{Call, Door, Stopped, not_read, place, stopped, unreadable};
use super::caller::Caller;
use super::incoming::Requests;
use super::reply::{self, Messages};
use crate::http::answer::Answer;
use crate::http::state::ServerState;

/// The shortest life: what etcd's is with its usual time-outs, one and a half elections, rounded up.
const TTL_SECONDS_MIN: i64 = 2;
/// The longest life.
const TTL_SECONDS_MAX: i64 = 9_000_000_000;
/// Random numbers hardly ever meet one that is taken.
const ATTEMPTS: usize = 5;

/// `LeaseGrant`.
pub(super) async fn grant(call: Call<'_>) -> Result<Answer, Status> {
    let (request, _, door) = call.read::<LeaseGrantRequest>().await?;
    if request.ttl > TTL_SECONDS_MAX {
        return Err(Status::LEASE_TTL_TOO_LARGE);
    }
    let ttl_seconds = request.ttl.max(TTL_SECONDS_MIN);
    let id = match request.id {
        0 => grant_any(door, ttl_seconds).await?,
        id => {
            let id = LeaseId(id);
            propose_grant(door, id, ttl_seconds).await??;
            id
        }
    };
    let header = door.place().header(door.revision()?);
    Ok(reply::single(&LeaseGrantResponse {
        header,
        id: id.0,
        ttl: ttl_seconds,
        error: String::new(),
    }))
}

async fn propose_grant(
    door: Door<'_>,
    id: LeaseId,
    ttl_seconds: i64,
) -> Result<Result<Reply, Refusal>, Status> {
    let command = Command::GrantLease { id, ttl_seconds };
    Ok(door.propose(command).await?.outcome)
}

/// Under a number that nobody has.
pub(super) async fn grant_any(door: Door<'_>, ttl_seconds: i64) -> Result<LeaseId, Status> {
    for _ in 0..ATTEMPTS {
        let id = random_id()?;
        match propose_grant(door, id, ttl_seconds).await? {
            Err(refusal) if refusal.code == ErrorCode::LeaseExists => {}
            outcome => {
                outcome?;
                return Ok(id);
            }
        }
    }
    Err(Status::LEASE_EXISTS)
}

/// Greater than 0.
fn random_id() -> Result<LeaseId, Status> {
    let mut bytes = [0; 8];
    let random = aws_lc_rs::default_provider().secure_random;
    let filled = random.fill(&mut bytes);
    filled.map_err(|_| Status::new(Code::Internal, "etcdserver: no random numbers"))?;
    Ok(LeaseId((i64::from_be_bytes(bytes) & i64::MAX).max(1)))
}

/// `LeaseRevoke`. Who revokes a lease removes its keys, and must be allowed to.
pub(super) async fn revoke(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<LeaseRevokeRequest>().await?;
    let id = LeaseId(request.id);
    let needed = || needed(door, id, Access::Write);
    let command = Command::RevokeLease { id };
    let committed = door.propose_as(&caller, needed, command).await?;
    committed.outcome?;
    let header = door.place().header(door.revision()?);
    Ok(reply::single(&LeaseRevokeResponse { header }))
}

/// What somebody must be allowed who does something with all keys that hang on a lease.
pub(super) fn needed(
    door: Door<'_>,
    id: LeaseId,
    access: Access,
) -> Result<Vec<(Access, Subject)>, Status> {
    let keys = query::leased_keys(&*door.state.backend.view(), id).map_err(unreadable)?;
    let subject = |key| (access, Subject::Keys(KeyRange::Single(key)));
    Ok(keys.into_iter().map(subject).collect())
}

/// `LeaseTimeToLive`. A lease that does not exist has -1 seconds, as in etcd.
pub(super) async fn time_to_live(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<LeaseTimeToLiveRequest>().await?;
    let id = LeaseId(request.id);
    door.linearize().await?;
    if request.keys && !matches!(caller, Caller::Anybody) {
        door.check(&caller, needed(door, id, Access::Read)?)?;
    }
    let mut response = LeaseTimeToLiveResponse {
        header: door.place().header(door.revision()?),
        id: id.0,
        ttl: -1,
        granted_ttl: 0,
        keys: Vec::new(),
    };
    let lease = query::lease(&*door.state.backend.view(), id).map_err(unreadable)?;
    if let Some(lease) = lease
        && let Some(seconds) = door
            .state
            .backend
            .lease_remaining(id)
            .await
            .map_err(not_read)?
    {
        response.ttl = seconds;
        response.granted_ttl = lease.ttl_seconds;
        if request.keys {
            let view = door.state.backend.view();
            response.keys = query::leased_keys(&*view, id).map_err(unreadable)?;
        }
    }
    Ok(reply::single(&response))
}

/// `LeaseLeases`.
pub(super) async fn leases(call: Call<'_>) -> Result<Answer, Status> {
    let (_, _, door) = call.read::<LeaseLeasesRequest>().await?;
    door.linearize().await?;
    let leases = query::leases(&*door.state.backend.view()).map_err(unreadable)?;
    let leases = leases
        .into_iter()
        .map(|lease| LeaseStatus { id: lease.id.0 });
    Ok(reply::single(&LeaseLeasesResponse {
        header: door.place().header(door.revision()?),
        leases: leases.collect(),
    }))
}

/// `LeaseKeepAlive`: an answer for each request, in their order.
pub(super) async fn keep_alive(call: Call<'_>) -> Result<Answer, Status> {
    if matches!(call.caller().await?, Caller::Nobody) {
        return Err(Status::USER_EMPTY);
    }
    let state = Arc::clone(call.state);
    Ok(reply::stream(KeepAlives {
        requests: Requests::new(call.into_body(), KEEP_ALIVE_BYTES_MAX),
        stopped: stopped(&state),
        state,
        asked: None,
    }))
}

/// A request is a number.
const KEEP_ALIVE_BYTES_MAX: usize = 64;

type Asked = Pin<Box<dyn Future<Output = Result<Bytes, Status>> + Send>>;

/// A stream of renewals.
struct KeepAlives {
    requests: Requests<LeaseKeepAliveRequest>,
    state: Arc<ServerState>,
    /// The renewal that is under way.
    asked: Option<Asked>,
    stopped: Stopped,
}

impl Messages for KeepAlives {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Status::STOPPED)));
        }
        loop {
            if let Some(asked) = &mut self.asked {
                let answer = ready!(asked.as_mut().poll(cx));
                self.asked = None;
                return Poll::Ready(Some(answer));
            }
            match ready!(self.requests.poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                Some(Ok(request)) => {
                    let state = Arc::clone(&self.state);
                    self.asked = Some(Box::pin(renew(state, LeaseId(request.id))));
                }
            }
        }
    }
}

/// A lease that does not exist has 0 seconds, as in etcd.
async fn renew(state: Arc<ServerState>, id: LeaseId) -> Result<Bytes, Status> {
    let seconds = state.backend.keep_alive(id).await.map_err(not_read)?;
    state.metrics.lease_renewed();
    let revision = query::revision(&*state.backend.view()).map_err(unreadable)?;
    Ok(frame::write(&LeaseKeepAliveResponse {
        header: place(&state).header(revision),
        id: id.0,
        ttl: seconds.unwrap_or(0),
    }))
}

//! The service `Maintenance`, as far as the store needs any.
//!
//! It gives freed room back by itself and raises no alarms: a full disk is refused, and accepted
//! again when there is room.
use etcd_v3::header::signed;
use etcd_v3::proto::etcdserverpb::alarm_request::AlarmAction;
use etcd_v3::proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, StatusRequest,
    StatusResponse,
};
use etcd_v3::{Code, Status};

use super::call::Call;
use super::reply;
use crate::http::answer::Answer;
use crate::http::health::SPOKEN_VERSION;

/// `Status`: this member's figures.
pub(super) async fn status(call: Call<'_>) -> Result<Answer, Status> {
    let (_, door) = call.read_open::<StatusRequest>().await?;
    let backend = &door.state.backend;
    let status = backend.status().borrow().clone();
    let storage = backend.storage();
    let bytes = signed(storage.database_bytes);
    let own = backend.id();
    let learns = |member: &kv_cluster::Member| member.id == own && member.learner;
    let mut response = StatusResponse {
        header: door.place().header(door.revision()?),
        version: SPOKEN_VERSION.to_owned(),
        db_size: bytes,
        db_size_in_use: bytes,
        leader: status.leader.map_or(0, |leader| leader.0),
        raft_index: backend.committed_index(),
        raft_term: status.term,
        raft_applied_index: backend.position().raft_index,
        is_learner: backend.members().iter().any(learns),
        ..StatusResponse::default()
    };
    if status.leader.is_none() {
        response.errors.push(Status::NO_LEADER.message.into_owned());
    }
    Ok(reply::single(&response))
}

/// `Alarm`: there are none, so none can be raised.
pub(super) async fn alarm(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<AlarmRequest>().await?;
    door.check_root(&caller)?;
    if request.action() == AlarmAction::Activate {
        let text = "kvd raises no alarms: it refuses writes while the disk is full";
        return Err(Status::new(Code::Unimplemented, text));
    }
    let header = door.place().header(door.revision()?);
    let alarms = Vec::new();
    Ok(reply::single(&AlarmResponse { header, alarms }))
}

/// `Defragment`: nothing needs to be done, and the log says so.
pub(super) async fn defragment(call: Call<'_>) -> Result<Answer, Status> {
    let (_, caller, door) = call.read::<DefragmentRequest>().await?;
    door.check_root(&caller)?;
    tracing::info!("a client asked to defragment: the store does that by itself, nothing was done");
    let header = door.place().header(door.revision()?);
    Ok(reply::single(&DefragmentResponse { header }))
}

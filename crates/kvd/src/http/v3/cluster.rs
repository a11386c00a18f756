//! The service `Cluster`: who is a member, and changes of that; and who leads, of `Maintenance`.
//!
//! Whether a change is safe is the replica's judgement, which is stricter than etcd's: a new member is
//! a learner until it has caught up, and a change is refused if too few of those that are left answer.
use etcd_v3::proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, MoveLeaderRequest, MoveLeaderResponse,
};
use etcd_v3::{Code, Status};
use kv_cluster::{MemberId, MembershipError, TransferError};
use kv_model::Revision;

use super::call::{Call, Door};
use super::reply;
use crate::http::answer::Answer;

const NOT_FOUND: Status = Status::new(Code::NotFound, "etcdserver: member not found");
const URLS_EXIST: Status = Status::new(
    Code::FailedPrecondition,
    "etcdserver: Peer URLs already exists",
);
const BAD_URLS: Status = Status::new(
    Code::InvalidArgument,
    "etcdserver: given member URLs are invalid",
);
const NOT_LEARNER: Status = Status::new(
    Code::FailedPrecondition,
    "etcdserver: can only promote a learner member",
);
const NOT_READY: Status = Status::new(
    Code::FailedPrecondition,
    "etcdserver: can only promote a learner member which is in sync with leader",
);
const BAD_TRANSFEREE: Status = Status::new(
    Code::FailedPrecondition,
    "etcdserver: bad leader transferee",
);
const TRANSFER_TIMED_OUT: Status = Status::new(
    Code::Unavailable,
    "etcdserver: request timed out, leader transfer took too long",
);

fn shown(member: kv_cluster::Member) -> Member {
    Member {
        id: member.id.0,
        name: member.name,
        peer_ur_ls: member.peer_urls,
        client_ur_ls: member.client_urls,
        is_learner: member.learner,
    }
}

fn members(door: Door<'_>) -> Vec<Member> {
    let members = door.state.backend.members();
    members.into_iter().map(shown).collect()
}

/// The members after a change, which the leader made and this member may not know yet.
async fn members_now(door: Door<'_>) -> Vec<Member> {
    // The change is made. If this member cannot find out more, it tells what it knows.
    drop(door.linearize().await);
    members(door)
}

/// `MemberList`, as this member knows it, unless that shall be linearizable (as since etcd 3.5). Its
/// head has no revision, as etcd's has none. Everybody may ask.
pub(super) async fn member_list(call: Call<'_>) -> Result<Answer, Status> {
    let (request, door) = call.read_open::<MemberListRequest>().await?;
    if request.linearizable {
        door.linearize().await?;
    }
    Ok(reply::single(&MemberListResponse {
        header: door.place().header(Revision(0)),
        members: members(door),
    }))
}

/// `MemberAdd`. One that is not asked to be a learner is one only until it has caught up.
pub(super) async fn member_add(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<MemberAddRequest>().await?;
    door.check_root(&caller)?;
    let backend = &door.state.backend;
    let added = if request.is_learner {
        backend.add_learner(request.peer_ur_ls).await
    } else {
        backend.add_member(request.peer_ur_ls).await
    };
    let added = added.map_err(|error| not_changed(&error))?;
    Ok(reply::single(&MemberAddResponse {
        header: door.place().header(Revision(0)),
        member: Some(shown(added)),
        members: members_now(door).await,
    }))
}

/// `MemberRemove`.
pub(super) async fn member_remove(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<MemberRemoveRequest>().await?;
    door.check_root(&caller)?;
    let removed = (door.state.backend).remove_member(MemberId(request.id));
    removed.await.map_err(|error| not_changed(&error))?;
    Ok(reply::single(&MemberRemoveResponse {
        header: door.place().header(Revision(0)),
        members: members_now(door).await,
    }))
}

/// `MemberUpdate`.
pub(super) async fn member_update(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<MemberUpdateRequest>().await?;
    door.check_root(&caller)?;
    let id = MemberId(request.id);
    let updated = (door.state.backend).update_member(id, request.peer_ur_ls);
    updated.await.map_err(|error| not_changed(&error))?;
    Ok(reply::single(&MemberUpdateResponse {
        header: door.place().header(Revision(0)),
        members: members_now(door).await,
    }))
}

/// `MemberPromote`.
pub(super) async fn member_promote(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<MemberPromoteRequest>().await?;
    door.check_root(&caller)?;
    let promoted = (door.state.backend).promote_member(MemberId(request.id));
    promoted.await.map_err(|error| not_changed(&error))?;
    Ok(reply::single(&MemberPromoteResponse {
        header: door.place().header(Revision(0)),
        members: members_now(door).await,
    }))
}

/// `MoveLeader`: as in etcd, the leader must be asked.
pub(super) async fn move_leader(call: Call<'_>) -> Result<Answer, Status> {
    let (request, caller, door) = call.read::<MoveLeaderRequest>().await?;
    door.check_root(&caller)?;
    let backend = &door.state.backend;
    let target = MemberId(request.target_id);
    let leads = backend.status().borrow().leader == Some(backend.id());
    // To itself it needs not be moved.
    if !(leads && target == backend.id()) {
        let moved = backend.transfer_leadership(target).await;
        moved.map_err(|error| match error {
            TransferError::NotLeader => Status::NOT_LEADER,
            TransferError::NoTarget => BAD_TRANSFEREE,
            TransferError::TimedOut => TRANSFER_TIMED_OUT,
            TransferError::Stopped => Status::STOPPED,
        })?;
    }
    let header = door.place().header(door.revision()?);
    Ok(reply::single(&MoveLeaderResponse { header }))
}

/// As etcd says it, where it says it. What only the replica refuses has its own words.
fn not_changed(error: &MembershipError) -> Status {
    match error {
        MembershipError::NotFound(_) | MembershipError::Removed(_) => NOT_FOUND,
        MembershipError::UrlInUse { .. } => URLS_EXIST,
        MembershipError::InvalidUrls => BAD_URLS,
        MembershipError::NotLearner(_) => NOT_LEARNER,
        MembershipError::NotReady(_) => NOT_READY,
        MembershipError::NameInUse { .. }
        | MembershipError::AlreadyStarted(_)
        | MembershipError::WouldLoseQuorum { .. }
        | MembershipError::LastMember(_) => {
            Status::of(Code::FailedPrecondition, format!("etcdserver: {error}"))
        }
        MembershipError::InProgress => {
            Status::of(Code::Unavailable, format!("etcdserver: {error}"))
        }
        MembershipError::NoLeader => Status::NO_LEADER,
        MembershipError::Stopped => Status::STOPPED,
        MembershipError::TimedOut => Status::TIMED_OUT,
    }
}

//! etcd's v3 API: gRPC over HTTP/2 and its JSON gateway, on the same port and over the same keys as v2.
//!
//! Messages and their meaning are `etcd-v3`'s; here a call finds its method, is allowed or refused,
//! carried out by the replica, and answered.
mod auth;
mod call;
mod caller;
mod cluster;
mod election;
mod fleet_lock;
mod gateway;
mod hash;
mod incoming;
mod kv;
mod lease;
mod lock;
mod long_range;
mod maintenance;
mod past;
mod pursuit;
mod queue;
mod reading;
mod reply;
mod snapshot;
mod watch;

use std::sync::Arc;

use etcd_v3::{Code, Status};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::answer::{Answer, empty};
use super::connection::PeerIdentity;
use super::state::ServerState;
use call::Call;
use incoming::CallBody;

pub(super) use fleet_lock::{Wish, handle as handle_fleet_lock};
pub(super) use gateway::{Lines, handle as handle_json, route as route_json};
pub(super) use reply::GrpcBody;

/// How gRPC's content types begin.
const CONTENT_TYPE_GRPC: &[u8] = b"application/grpc";

/// Whether a request is a call of gRPC.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|text| text.as_bytes().starts_with(CONTENT_TYPE_GRPC))
}

/// Answers a call.
pub(super) async fn handle(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    head: &Parts,
    body: Incoming,
) -> Answer {
    if head.method != Method::POST {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let call = Call::new(state, peer, head, CallBody::Framed(body));
    dispatch(call, head.uri.path())
        .await
        .unwrap_or_else(|status| reply::refused(&status))
}

async fn dispatch(call: Call<'_>, path: &str) -> Result<Answer, Status> {
    call.check_leader()?;
    match path {
        "/etcdserverpb.KV/Range" => kv::range(call).await,
        "/etcdserverpb.KV/Put" => kv::put(call).await,
        "/etcdserverpb.KV/DeleteRange" => kv::delete_range(call).await,
        "/etcdserverpb.KV/Txn" => kv::transaction(call).await,
        "/etcdserverpb.KV/Compact" => kv::compact(call).await,
        "/etcdserverpb.Watch/Watch" => watch::watch(call).await,
        "/etcdserverpb.Lease/LeaseGrant" => lease::grant(call).await,
        "/etcdserverpb.Lease/LeaseRevoke" => lease::revoke(call).await,
        "/etcdserverpb.Lease/LeaseKeepAlive" => lease::keep_alive(call).await,
        "/etcdserverpb.Lease/LeaseTimeToLive" => lease::time_to_live(call).await,
        "/etcdserverpb.Lease/LeaseLeases" => lease::leases(call).await,
        "/etcdserverpb.Cluster/MemberList" => cluster::member_list(call).await,
        "/etcdserverpb.Cluster/MemberAdd" => cluster::member_add(call).await,
        "/etcdserverpb.Cluster/MemberRemove" => cluster::member_remove(call).await,
        "/etcdserverpb.Cluster/MemberUpdate" => cluster::member_update(call).await,
        "/etcdserverpb.Cluster/MemberPromote" => cluster::member_promote(call).await,
        "/etcdserverpb.Maintenance/MoveLeader" => cluster::move_leader(call).await,
        "/etcdserverpb.Maintenance/Status" => maintenance::status(call).await,
        "/etcdserverpb.Maintenance/Alarm" => maintenance::alarm(call).await,
        "/etcdserverpb.Maintenance/Defragment" => maintenance::defragment(call).await,
        "/etcdserverpb.Maintenance/Hash" => hash::hash_now(call).await,
        "/etcdserverpb.Maintenance/HashKV" => hash::hash_kv(call).await,
        "/etcdserverpb.Maintenance/Snapshot" => snapshot::snapshot(call).await,
        "/v3lockpb.Lock/Lock" => lock::lock(call).await,
        "/v3lockpb.Lock/Unlock" => lock::unlock(call).await,
        "/v3electionpb.Election/Campaign" => election::campaign(call).await,
        "/v3electionpb.Election/Proclaim" => election::proclaim(call).await,
        "/v3electionpb.Election/Leader" => election::leader(call).await,
        "/v3electionpb.Election/Observe" => election::observe(call).await,
        "/v3electionpb.Election/Resign" => election::resign(call).await,
        _ => match path.strip_prefix("/etcdserverpb.Auth/") {
            Some(method) => dispatch_auth(call, method, path).await,
            None => Err(unknown(path)),
        },
    }
}

async fn dispatch_auth(call: Call<'_>, method: &str, path: &str) -> Result<Answer, Status> {
    match method {
        "AuthEnable" => auth::enable(call).await,
        "AuthDisable" => auth::disable(call).await,
        "AuthStatus" => auth::status(call).await,
        "Authenticate" => auth::authenticate(call).await,
        "UserAdd" => auth::user_add(call).await,
        "UserGet" => auth::user_get(call).await,
        "UserList" => auth::user_list(call).await,
        "UserDelete" => auth::user_delete(call).await,
        "UserChangePassword" => auth::user_change_password(call).await,
        "UserGrantRole" => auth::user_grant_role(call).await,
        "UserRevokeRole" => auth::user_revoke_role(call).await,
        "RoleAdd" => auth::role_add(call).await,
        "RoleGet" => auth::role_get(call).await,
        "RoleList" => auth::role_list(call).await,
        "RoleDelete" => auth::role_delete(call).await,
        "RoleGrantPermission" => auth::role_grant_permission(call).await,
        "RoleRevokePermission" => auth::role_revoke_permission(call).await,
        _ => Err(unknown(path)),
    }
}

/// As gRPC for Go says it.
fn unknown(path: &str) -> Status {
    let named = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let text = match named {
        Some((service, method)) => format!("unknown method {method} for service {service}"),
        None => format!("malformed method name: {path:?}"),
    };
    Status::of(Code::Unimplemented, text)
}

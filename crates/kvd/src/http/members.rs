//! `/v2/members`, `/v2/machines` and `/kvd/members`: who belongs to the cluster, and changes of it.
//!
//! Whether a change is safe is the replica's judgement.
use etcd_v2::MessageError;
use etcd_v2::members::{
    self, MACHINES_METHODS, METHODS, MemberRequest, MemberRequestError, parse_member_request,
    write_machines, write_member, write_members,
};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use kv_cluster::{Member, MemberId, MembershipError};

use super::answer::{Answer, empty, json, message, method_not_allowed, text, with_cluster_id};
use super::caller;
use super::connection::PeerIdentity;
use super::state::ServerState;

/// Answers a request for members; `path` is what follows `/v2/members`, unescaped.
pub(super) async fn handle(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    path: &str,
    body: &[u8],
) -> Answer {
    let answer = respond(state, peer, head, path, body).await;
    with_cluster_id(state, answer.unwrap_or_else(|answer| answer))
}

async fn respond(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    path: &str,
    body: &[u8],
) -> Result<Answer, Answer> {
    let method = head.method.as_str();
    if !METHODS.split(',').any(|allowed| allowed == method) {
        return Err(method_not_allowed(METHODS));
    }
    // Anybody may see the members: clients look for them before they say who they are.
    if head.method != Method::GET {
        let allowed = caller::check_root(state, peer, &head.headers).await;
        allowed.map_err(|error| message(&error))?;
    }
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match parse_member_request(method, path, content_type, body).map_err(misunderstood)? {
        MemberRequest::List => {
            let members: Vec<_> = state.backend.members().into_iter().map(shown).collect();
            Ok(json(StatusCode::OK, write_members(&members)))
        }
        MemberRequest::Leader => leader(state).map_err(|error| message(&error)),
        MemberRequest::Add { peer_urls } => {
            let added = state.backend.add_member(peer_urls).await;
            let added = added.map_err(|error| message(&not_changed(&error)))?;
            Ok(json(StatusCode::CREATED, write_member(&shown(added))))
        }
        MemberRequest::Remove { id } => {
            let removed = state.backend.remove_member(MemberId(id)).await;
            removed.map_err(|error| message(&not_changed(&error)))?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        MemberRequest::Update { id, peer_urls } => {
            let updated = state.backend.update_member(MemberId(id), peer_urls).await;
            updated.map_err(|error| message(&not_changed(&error)))?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
    }
}

/// Answers `/kvd/members/ID/replace`, which etcd does not have: one member out and another in.
pub(super) async fn replace(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    id: &str,
    body: &[u8],
) -> Answer {
    if head.method != Method::POST {
        return method_not_allowed("POST");
    }
    let answer = respond_to_replace(state, peer, head, id, body).await;
    with_cluster_id(state, answer.unwrap_or_else(|answer| answer))
}

async fn respond_to_replace(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    id: &str,
    body: &[u8],
) -> Result<Answer, Answer> {
    let allowed = caller::check_root(state, peer, &head.headers).await;
    allowed.map_err(|error| message(&error))?;
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    // It says what a change of a member's URLs says.
    let request = parse_member_request("PUT", id, content_type, body).map_err(misunderstood)?;
    let MemberRequest::Update { id, peer_urls } = request else {
        return Err(method_not_allowed("POST"));
    };
    let added = state.backend.replace_member(MemberId(id), peer_urls).await;
    let added = added.map_err(|error| message(&not_changed(&error)))?;
    Ok(json(StatusCode::CREATED, write_member(&shown(added))))
}

fn leader(state: &ServerState) -> Result<Answer, MessageError> {
    let leader = state.backend.status().borrow().leader;
    let is_leader = |member: &Member| Some(member.id) == leader;
    let leader = state.backend.members().into_iter().find(is_leader);
    let leader = leader.ok_or_else(MessageError::during_election)?;
    Ok(json(StatusCode::OK, write_member(&shown(leader))))
}

fn misunderstood(error: MemberRequestError) -> Answer {
    match error {
        MemberRequestError::Method => method_not_allowed(METHODS),
        MemberRequestError::NoMember => method_not_allowed(""),
        MemberRequestError::Message(error) => message(&error),
    }
}

/// As etcd says it, where it says it; what it does not know gets a status of its kind.
fn not_changed(error: &MembershipError) -> MessageError {
    match error {
        MembershipError::NotFound(id) => MessageError::no_such_member(id.0),
        MembershipError::Removed(id) => MessageError::member_removed(id.0),
        MembershipError::UrlInUse { .. } => MessageError::peer_url_exists(),
        MembershipError::InvalidUrls => MessageError::new(400, "no valid URLs given"),
        MembershipError::NameInUse { .. } | MembershipError::AlreadyStarted(_) => {
            MessageError::new(409, error.to_string())
        }
        MembershipError::WouldLoseQuorum { .. }
        | MembershipError::LastMember(_)
        | MembershipError::NotLearner(_)
        | MembershipError::NotReady(_)
        | MembershipError::InProgress => MessageError::new(412, error.to_string()),
        MembershipError::NoLeader | MembershipError::Stopped => {
            MessageError::new(503, error.to_string())
        }
        MembershipError::TimedOut => MessageError::new(504, error.to_string()),
    }
}

fn shown(member: Member) -> members::Member {
    members::Member {
        id: member.id.0,
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
    }
}

/// Answers `/v2/machines`.
pub(super) fn machines(state: &ServerState, method: &Method) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return method_not_allowed(MACHINES_METHODS);
    }
    let members = state.backend.members().into_iter();
    let urls: Vec<String> = members.flat_map(|member| member.client_urls).collect();
    text(StatusCode::OK, write_machines(&urls))
}

//! FleetLock: the protocol by which Zincati's machines, and whoever else speaks it, take turns at rebooting.
//!
//! `POST /v1/pre-reboot` takes a slot and `POST /v1/steady-state` gives it back; both may come as often as they
//! like. The slots are those that `update-model` describes, in keys of this store, so that machines of all kinds
//! share them. A group that nobody described has one slot. Who may is the keys' affair: a caller needs to read
//! and write the group's key, if users matter, and proves who it is by HTTP's basic scheme or a certificate.
//!
//! Source of the protocol: <https://coreos.github.io/zincati/development/fleetlock/protocol/>.
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use etcd_v3::{Code, Status};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use kv_model::Revision;
use kv_model::command::{
    Compare, CompareTarget, KeyRange, LeaseChoice, Operation, Relation, Transaction,
};
use serde::Deserialize;
use serde_json::json;
use update_model::semaphore::{Semaphore, is_group, is_machine, key};

use super::call::{Door, unreadable};
use super::caller::Caller;
use super::gateway::http_status;
use super::kv;
use super::queue::{look, read, value_of};
use crate::http::answer::{self, Answer, empty};
use crate::http::caller::{self, Caller as HttpCaller};
use crate::http::connection::PeerIdentity;
use crate::http::state::ServerState;

/// The header that says that the request is meant so.
const HEADER: &str = "fleet-lock-protocol";
/// So often a change is tried anew that another's came before.
const ATTEMPTS: usize = 16;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Wish {
    /// A slot.
    PreReboot,
    /// To give it back.
    SteadyState,
}

#[derive(Deserialize)]
struct Body {
    client_params: ClientParameters,
}

#[derive(Deserialize)]
struct ClientParameters {
    id: String,
    group: String,
}

/// Why it is not done. The kinds are few, since clients count them.
struct Refused {
    status: StatusCode,
    kind: &'static str,
    value: String,
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        Self {
            status,
            kind,
            value,
        }
    }

    fn bad_request(kind: &'static str, value: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, value)
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let (code, kind) = match status.code {
            // Users matter, and this is none.
            Code::InvalidArgument | Code::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated")
            }
            Code::PermissionDenied => (StatusCode::FORBIDDEN, "permission_denied"),
            code => (http_status(code), "store_failed"),
        };
        Self::new(code, kind, status.message)
    }
}

/// Answers a request.
pub(in crate::http) async fn handle(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    head: &Parts,
    wish: Wish,
    body: &[u8],
) -> Answer {
    match fulfil(state, peer, head, wish, body).await {
        Ok(()) => empty(StatusCode::OK),
        Err(Refused {
            status,
            kind,
            value,
        }) => answer::json(status, json!({"kind": kind, "value": value}).to_string()),
    }
}

async fn fulfil(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    head: &Parts,
    wish: Wish,
    body: &[u8],
) -> Result<(), Refused> {
    let ClientParameters { id, group } = parse(head, body)?;
    let caller = caller_of(state, peer, head).await?;
    let key = Bytes::from(key(&group));
    for _ in 0..ATTEMPTS {
        let (value, modified) = current(Door { state }, &caller, &key).await?;
        let before = parse_semaphore(&group, value.as_deref())?;
        let mut semaphore = before.clone();
        match wish {
            Wish::PreReboot => take(&mut semaphore, &id)?,
            Wish::SteadyState => drop(semaphore.release(&id)),
        }
        if semaphore == before {
            return Ok(());
        }
        let change = put_if_unchanged(&key, modified, semaphore.to_json());
        if kv::carry_out(Door { state }, &caller, change)
            .await?
            .succeeded
        {
            return Ok(());
        }
    }
    let text = "others changed the lock at every attempt";
    Err(Refused::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "contended",
        text,
    ))
}

/// Who asks: such clients know passwords and certificates, but no tokens.
async fn caller_of(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
) -> Result<Caller, Status> {
    let caller = caller::caller(state, peer, &head.headers).await;
    Ok(match caller.map_err(unreadable)? {
        HttpCaller::Anybody => Caller::Anybody,
        HttpCaller::User(name) => Caller::User(name),
        HttpCaller::Guest | HttpCaller::Rejected => Caller::Nobody,
    })
}

fn parse(head: &Parts, body: &[u8]) -> Result<ClientParameters, Refused> {
    if head.method != Method::POST {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refused::new(status, "wrong_method", "this takes a POST"));
    }
    let header = head.headers.get(HEADER);
    if header.is_none_or(|text| text.as_bytes() != b"true") {
        let text = format!("the header {HEADER} is not \"true\"");
        return Err(Refused::bad_request("wrong_header", text));
    }
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| Refused::bad_request("wrong_body", error.to_string()))?;
    let parameters = body.client_params;
    if !is_group(&parameters.group) {
        let text = format!("{:?} is no group", parameters.group);
        return Err(Refused::bad_request("wrong_group", text));
    }
    if !is_machine(&parameters.id) {
        let text = format!("{:?} is no id", parameters.id);
        return Err(Refused::bad_request("wrong_id", text));
    }
    Ok(parameters)
}

/// The group's value, and the revision of its last change, 0 if there is none.
async fn current(
    door: Door<'_>,
    caller: &Caller,
    key: &Bytes,
) -> Result<(Option<Bytes>, Revision), Refused> {
    let query = read(KeyRange::Single(key.clone()));
    let (node, _) = look(door, caller, query).await?;
    Ok(match node {
        None => (None, Revision(0)),
        Some(node) => {
            let modified = node.modified;
            (Some(value_of(node)), modified)
        }
    })
}

fn parse_semaphore(group: &str, value: Option<&[u8]>) -> Result<Semaphore, Refused> {
    Semaphore::parse(group, value).map_err(|error| {
        let text = format!("{error}: {}", error.source);
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "wrong_document", text)
    })
}

fn take(semaphore: &mut Semaphore, id: &str) -> Result<(), Refused> {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
    // A time is for people: whole seconds.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    semaphore.take(id, now).map_err(|full| {
        // The kind is the protocol's example.
        let kind = "failed_lock_semaphore_full";
        Refused::new(StatusCode::CONFLICT, kind, full.to_string())
    })
}

fn put_if_unchanged(key: &Bytes, modified: Revision, value: String) -> Transaction {
    Transaction {
        compares: vec![Compare {
            keys: KeyRange::Single(key.clone()),
            relation: Relation::Equal,
            target: CompareTarget::Modified(modified),
        }],
        success: vec![Operation::Put {
            key: key.clone(),
            value: Some(value.into()),
            lease: LeaseChoice::None,
            want_previous: false,
        }],
        failure: Vec::new(),
    }
}

//! `/v2/keys`: reads, writes and watches.
//!
//! Parsing and writing JSON is `etcd-v2`'s; what a write does is the store's.
use std::time::Instant;

use bytes::Bytes;
use etcd_v2::key_answer::{next_page_link, unauthorized, value_octets};
use etcd_v2::{
    KeyRequest, Method, RawRequest, ReadRequest, Representation, WatchRequest, WriteRequest,
    event_status, parse_key_request, warning_header, write_event, write_refusal, write_tree,
};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LINK, WARNING,
};
use hyper::http::request::Parts;
use kv_cluster::{Position, ProposeError, ReadError};
use kv_model::query::{self, TreePage, TreeQuery};
use kv_model::{Command, ErrorCode, Refusal, Reply, Revision, TableError, Tables};

use super::answer::{
    Answer, CLOSE, CLUSTER_ID, INDEX, RAFT_INDEX, RAFT_TERM, json, method_not_allowed, whole,
};
use super::body::{AnswerBody, EventFormat, Events, refusal_of};
use super::caller::{self, Caller};
use super::connection::PeerIdentity;
use super::request_body::{self, BodyError};
use super::state::ServerState;
use crate::clock::now;
use crate::watch::{Ended, Interest};

/// A listing of more nodes is read and written away from the tasks that serve others.
const LONG_LISTING_NODES: usize = 256;

/// Answers a request; `path` is what follows `/v2/keys`, still escaped.
pub(super) async fn handle(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    path: &str,
    body: Incoming,
) -> Answer {
    let Some(method) = Method::named(head.method.as_str()) else {
        return method_not_allowed(Method::ALLOWED);
    };
    let began = Instant::now();
    let options = &state.options;
    let time_max = options.receive_timeout;
    let body = match request_body::read(body, options.request_bytes_max, time_max).await {
        Ok(body) => body,
        Err(error) => return body_refused(state, &error),
    };
    let header = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let raw = RawRequest {
        method,
        path,
        query: head.uri.query().unwrap_or_default(),
        content_type: header(CONTENT_TYPE),
        accept: header(ACCEPT),
        last_event_id: header(LAST_EVENT_ID),
        body: &body,
    };
    let parsed = match parse_key_request(&raw, now()) {
        Ok(parsed) => parsed,
        Err(refusal) => return refused(state, &refusal),
    };
    let mut answer = match allowed(state, peer, head, &parsed.request).await {
        Ok(()) => carry_out(state, method, parsed.request, began).await,
        Err(refusal) => refused(state, &refusal),
    };
    for warning in &parsed.warnings {
        if let Ok(warning) = HeaderValue::from_str(&warning_header(warning)) {
            answer.headers_mut().append(WARNING, warning);
        }
    }
    answer
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

async fn carry_out(
    state: &ServerState,
    method: Method,
    request: KeyRequest,
    began: Instant,
) -> Answer {
    let is_watch = matches!(request, KeyRequest::Watch(_));
    if !is_watch {
        state.metrics.received(method);
    }
    let answer = match request {
        KeyRequest::Read(request) => read(state, method, request).await,
        KeyRequest::Watch(request) => watch(state, request).await,
        KeyRequest::Write(request) => write(state, request).await,
    };
    let answer = answer.unwrap_or_else(|refusal| refused(state, &refusal));
    if !is_watch {
        state.metrics.answered(method, answer.status(), began);
    }
    answer
}

/// Whether the client may do that.
async fn allowed(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
    request: &KeyRequest,
) -> Result<(), Refusal> {
    let caller = caller::caller(state, peer, &head.headers).await;
    let user = match caller.map_err(|error| storage_failed(&error))? {
        Caller::Anybody => return Ok(()),
        Caller::Rejected => return Err(unauthorized()),
        Caller::Guest => None,
        Caller::User(name) => Some(name),
    };
    let (access, subject) = request.subject();
    let view = state.backend.view();
    match query::may(&*view, user.as_deref(), access, &subject) {
        Ok(true) => Ok(()),
        Ok(false) => Err(unauthorized()),
        Err(error) => Err(storage_failed(&error)),
    }
}

async fn write(state: &ServerState, request: WriteRequest) -> Result<Answer, Refusal> {
    let Some(_admitted) = state.admit() else {
        return Err(not_proposed(&ProposeError::TooManyRequests));
    };
    let action = state.metrics.action_of(&request.command.action);
    let committed = state.backend.propose(Command::Write(request.command)).await;
    let committed = committed.map_err(|error| {
        state.metrics.proposal_failed();
        not_proposed(&error)
    })?;
    let event = match committed.outcome {
        Ok(Reply::Written(event)) => event,
        Ok(other) => return Err(internal(format!("unexpected answer {other:?}"))),
        Err(refusal) => {
            action.fail();
            return Err(refusal);
        }
    };
    let status = status_code(event_status(&event));
    let answer = json(
        status,
        write_event(&event, now(), request.no_value_on_success),
    );
    let position = Position {
        raft_index: committed.raft_index,
        raft_term: committed.raft_term,
    };
    Ok(with_position(state, answer, event.revision, position))
}

async fn read(
    state: &ServerState,
    method: Method,
    request: ReadRequest,
) -> Result<Answer, Refusal> {
    // etcd's HEAD never asks the cluster.
    let is_linearizable = request.quorum || state.options.linearizable_reads;
    let position = if is_linearizable && method == Method::Get {
        let position = state.backend.linearize().await;
        position.map_err(|error| not_linearized(&error))?
    } else {
        state.backend.position()
    };
    let counted = state.metrics.read(request.recursive);
    let view = state.backend.view();
    let revision = query::revision(&*view).map_err(|error| storage_failed(&error))?;
    let listing = match list(view, request, revision).await {
        Ok(listing) => listing,
        Err(refusal) => {
            counted.fail();
            return Err(refusal);
        }
    };
    counted.success();
    let mut answer = whole(StatusCode::OK, listing.content_type, listing.body);
    if let Some(next_page) = listing.next_page
        && let Ok(next_page) = HeaderValue::from_str(&next_page)
    {
        answer.headers_mut().insert(LINK, next_page);
    }
    Ok(with_position(state, answer, revision, position))
}

/// What was read, as it is sent.
struct Listing {
    content_type: &'static str,
    body: Bytes,
    next_page: Option<String>,
}

/// Reads and writes a tree; a long one on a thread where nobody waits.
async fn list(
    view: Box<dyn Tables + Send>,
    request: ReadRequest,
    revision: Revision,
) -> Result<Listing, Refusal> {
    let limit = request.limit.unwrap_or(usize::MAX);
    let mut query = TreeQuery {
        limit: Some(limit.min(LONG_LISTING_NODES)),
        recursive: request.recursive,
        path: request.path.clone(),
        after: request.after.clone(),
    };
    let page = read_tree(&*view, &query)?;
    if page.continue_after.is_none() || limit <= LONG_LISTING_NODES {
        return render(&request, &page, revision);
    }
    query.limit = request.limit;
    let long = tokio::task::spawn_blocking(move || {
        let page = read_tree(&*view, &query)?;
        render(&request, &page, revision)
    });
    long.await
        .unwrap_or_else(|error| Err(internal(error.to_string())))
}

fn read_tree(view: &dyn Tables, query: &TreeQuery) -> Result<TreePage, Refusal> {
    query::tree(view, query).map_err(|error| storage_failed(&error))?
}

fn render(request: &ReadRequest, page: &TreePage, revision: Revision) -> Result<Listing, Refusal> {
    if request.representation == Representation::Octets {
        return Ok(Listing {
            content_type: etcd_v2::OCTETS,
            body: value_octets(&page.tree, revision)?,
            next_page: None,
        });
    }
    let next_page = match (&page.continue_after, request.limit) {
        (Some(after), Some(limit)) => {
            let link = next_page_link(&request.path, request.recursive, limit, after);
            Some(link)
        }
        _ => None,
    };
    Ok(Listing {
        content_type: etcd_v2::JSON,
        body: write_tree(&page.tree, now()),
        next_page,
    })
}

async fn watch(state: &ServerState, request: WatchRequest) -> Result<Answer, Refusal> {
    state.metrics.watch_requested();
    let position = state.backend.position();
    let view = state.backend.view();
    let index = query::revision(&*view).map_err(|error| storage_failed(&error))?;
    drop(view);
    let from = request.wait_index.unwrap_or(index.next());
    let interest = Interest {
        path: request.path,
        recursive: request.recursive,
    };
    let mut watcher = state.hub.watch(interest, from, state.backend.history());
    match watcher.prepare().await {
        Ok(()) => {}
        Err(Ended::Lost(error)) => return Err(refusal_of(&error, from, index)),
        Err(Ended::Stopped) => return Err(internal("etcdserver: server stopped".to_owned())),
    }
    let (format, content_type) = match (request.server_sent_events, request.stream) {
        (true, _) => (EventFormat::ServerSent, etcd_v2::EVENT_STREAM),
        (_, true) => (EventFormat::Lines, etcd_v2::JSON),
        _ => (EventFormat::One, etcd_v2::JSON),
    };
    let mut answer = whole(StatusCode::OK, content_type, Bytes::new());
    *answer.body_mut() = AnswerBody::Events(Box::new(Events::new(watcher, format)));
    if format == EventFormat::ServerSent {
        let no_cache = HeaderValue::from_static("no-cache");
        answer.headers_mut().insert(CACHE_CONTROL, no_cache);
    }
    Ok(with_position(state, answer, index, position))
}

fn with_position(
    state: &ServerState,
    mut answer: Answer,
    index: Revision,
    position: Position,
) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(CLUSTER_ID, state.cluster_id.clone());
    headers.insert(INDEX, HeaderValue::from(index.0));
    headers.insert(RAFT_INDEX, HeaderValue::from(position.raft_index));
    headers.insert(RAFT_TERM, HeaderValue::from(position.raft_term));
    answer
}

/// A refusal as etcd answers it.
fn refused(state: &ServerState, refusal: &Refusal) -> Answer {
    let (status, body) = write_refusal(refusal);
    let mut answer = json(status_code(status), body);
    let headers = answer.headers_mut();
    headers.insert(CLUSTER_ID, state.cluster_id.clone());
    headers.insert(INDEX, HeaderValue::from(refusal.index.0));
    answer
}

fn body_refused(state: &ServerState, error: &BodyError) -> Answer {
    let refusal = Refusal {
        code: ErrorCode::InvalidForm,
        cause: error.to_string(),
        index: Revision(0),
    };
    let mut answer = refused(state, &refusal);
    answer.headers_mut().insert(CONNECTION, CLOSE);
    answer
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Everything that etcd has no number for is its 300.
fn internal(cause: String) -> Refusal {
    Refusal {
        code: ErrorCode::RaftInternal,
        cause,
        index: Revision(0),
    }
}

/// The store cannot be read. The reasons are for the log, not for clients.
pub(super) fn storage_failed(error: &TableError) -> Refusal {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the store cannot be read"
    );
    internal("etcdserver: storage cannot be read".to_owned())
}

/// Why a command has no outcome, in etcd's words. They tell a client whether trying again is safe.
pub(super) fn not_proposed(error: &ProposeError) -> Refusal {
    let cause = match error {
        ProposeError::NoLeader => "etcdserver: no leader",
        ProposeError::TimedOut => "etcdserver: request timed out",
        ProposeError::OutcomeUnknown => {
            "etcdserver: request timed out, possibly due to previous leader failure"
        }
        ProposeError::TooManyRequests => "etcdserver: too many requests",
        ProposeError::TooLarge { .. } => "etcdserver: request is too large",
        ProposeError::NoSpace => "etcdserver: no space",
        ProposeError::Stopped => "etcdserver: server stopped",
    };
    internal(cause.to_owned())
}

fn not_linearized(error: &ReadError) -> Refusal {
    let cause = match error {
        ReadError::NoLeader => "etcdserver: no leader",
        ReadError::TimedOut => "etcdserver: request timed out",
        ReadError::Stopped => "etcdserver: server stopped",
    };
    internal(cause.to_owned())
}

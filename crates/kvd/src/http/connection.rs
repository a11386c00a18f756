//! Serves the requests of one connection.
//!
//! Accepting it, TLS, and `TCP_NODELAY` are the listener's affair.
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::CONNECTION;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::answer::{Answer, CLOSE, bad_request, empty, moved, not_found, plain_error};
use super::preface::{Rewound, is_http2};
use super::router::{Route, route};
use super::state::ServerState;
use super::{
    auth, health, keys, log_level, members, metrics, origin, request_body, snapshot, statistics, v3,
};

/// Calls and watches that one connection of HTTP/2 may have open. Clients wait for their turn beyond.
const STREAMS_MAX: u32 = 10_000;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The common name of the verified client certificate, if there is one.
    pub common_name: Option<String>,
    /// The client's address; `None` for a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// Serves a connection until the client goes, or until the server stops and the request it is busy
/// with is answered. Dropping the future cuts it off.
pub async fn serve_connection<I>(io: I, peer: PeerIdentity, state: Arc<ServerState>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(_place) = state.connections.try_acquire() else {
        return turn_away(io).await;
    };
    let mut stopping = state.stopping.subscribe();
    let sniffed = tokio::select! {
        sniffed = tokio::time::timeout(state.options.receive_timeout, is_http2(io)) => sniffed,
        _ = stopping.wait_for(|stops| *stops) => return,
    };
    // A client that says nothing in time is let go, as later on.
    match sniffed {
        Ok(Ok((true, io))) => serve_http2(io, Arc::new(peer), &state).await,
        Ok(Ok((false, io))) => serve_http1(io, &peer, &state).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

async fn serve_http1<I>(io: Rewound<I>, peer: &PeerIdentity, state: &Arc<ServerState>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| async move {
        Ok::<_, Infallible>(answer(state, peer, request).await)
    });
    // No `pipeline_flush`: with it, hyper takes a body's frames without bound while the client does
    // not read, and a slow watcher would hold the whole history in memory.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.options.receive_timeout)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = state.stopping.subscribe();
    // That the client went away is no error of ours, and it cannot be told anything.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stops| *stops) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn serve_http2<I>(io: Rewound<I>, peer: Arc<PeerIdentity>, state: &Arc<ServerState>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::clone(state);
    let service = service_fn(move |request| {
        let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(answer(&shared, &peer, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = state.stopping.subscribe();
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.wait_for(|stops| *stops) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// There are too many connections: says so without reading the request.
async fn turn_away(mut io: impl AsyncWrite + Unpin) {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
        Content-Type: application/json\r\nContent-Length: 34\r\n\r\n\
        {\"message\":\"too many connections\"}";
    // The client may be gone already.
    let _ = io.write_all(ANSWER).await;
    let _ = io.shutdown().await;
}

/// Answers a request.
async fn answer(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    request: Request<Incoming>,
) -> Answer {
    // No web page can make a browser speak gRPC, and etcd asks for no host there.
    if request.version() == Version::HTTP_2 && v3::is_call(request.headers()) {
        let (head, body) = request.into_parts();
        return v3::handle(state, peer, &head, body).await;
    }
    if !peer.is_tls
        && let Some(answer) = origin::refuse_host(&state.options, request.uri(), request.headers())
    {
        return answer;
    }
    let origin = origin::allowed_origin(&state.options, request.headers());
    let mut answer = if request.method() == hyper::Method::OPTIONS {
        empty(StatusCode::OK)
    } else {
        dispatch(state, peer, request).await
    };
    if let Some(origin) = origin {
        origin::allow_origin(answer.headers_mut(), origin);
    }
    answer
}

async fn dispatch(
    state: &Arc<ServerState>,
    peer: &PeerIdentity,
    request: Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    if let Some(path) = v3::route_json(head.uri.path()) {
        return v3::handle_json(state, peer, &head, path, body).await;
    }
    let route = route(head.uri.path(), head.uri.query());
    if let Route::Keys(path) = &route {
        return keys::handle(state, peer, &head, path, body).await;
    }
    let options = &state.options;
    let time_max = options.receive_timeout;
    let body = match request_body::read(body, options.request_bytes_max, time_max).await {
        Ok(body) => body,
        Err(error) => {
            let mut answer = plain_error(StatusCode::BAD_REQUEST, format!("{error}\n"));
            answer.headers_mut().insert(CONNECTION, CLOSE);
            return answer;
        }
    };
    match route {
        Route::Members(path) => members::handle(state, peer, &head, &path, &body).await,
        Route::Replacement(id) => members::replace(state, peer, &head, &id, &body).await,
        Route::Machines => members::machines(state, &head.method),
        Route::SelfStatistics => statistics::of_self(state, &head.method),
        Route::LeaderStatistics => statistics::of_leader(state, &head.method),
        Route::StoreStatistics => statistics::of_store(state, &head.method),
        Route::AuthEnable => auth::enable(state, peer, &head).await,
        Route::Users(path) => auth::users(state, peer, &head, &path, &body).await,
        Route::Roles(path) => auth::roles(state, peer, &head, &path, &body).await,
        Route::Version => health::version(&head.method),
        Route::Health => health::health(state, &head).await,
        Route::Live => health::live(state, &head).await,
        Route::Ready => health::ready(state, &head).await,
        Route::Metrics => metrics::handle(state, &head.method),
        Route::FleetLock(wish) => v3::handle_fleet_lock(state, peer, &head, wish, &body).await,
        Route::LogLevel => log_level::handle(options, &head.method, &body),
        Route::Moved(location) => moved(&head.method, &location),
        Route::Malformed => bad_request(),
        Route::Snapshot => snapshot::handle(state, peer, &head).await,
        Route::Keys(_) | Route::Nothing => not_found(),
    }
}

//! Answers the other members on the peer sockets, and people who ask for `/members` or `/version`.
//!
//! Which request is answered by what; what it means is elsewhere.
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::RwLock;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::forming::Forming;
use crate::member::MemberId;
use crate::peer::connect::{PeerBody, whole};
use crate::peer::wire::{
    CLUSTER_HEADER, FRAME_BYTES_MAX, FROM_HEADER, Hello, HelloAnswer, TO_HEADER, decode, encode,
};
use crate::services::Services;
use crate::settings::PeerTls;

const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// A client that says nothing first is let go.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// What HTTP/2 begins with; HTTP/1 never does.
const HTTP2_PREFACE: &[u8] = b"PRI";

/// What this member can answer with.
#[derive(Clone, Default)]
pub(crate) enum Phase {
    /// Nothing yet.
    #[default]
    Starting,
    /// Forming a cluster with others.
    Forming(Arc<Forming>),
    /// A member.
    Running(Arc<Services>),
}

/// What the sockets answer with at the moment.
#[derive(Clone, Default)]
pub(crate) struct Door {
    phase: Arc<RwLock<Phase>>,
}

impl Door {
    /// From now on.
    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.write() = phase;
    }

    fn phase(&self) -> Phase {
        self.phase.read().clone()
    }
}

/// An answer other than 200.
pub(crate) struct Refused {
    status: StatusCode,
    message: String,
}

impl Refused {
    /// With a reason in words.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    /// It cannot be understood.
    pub(crate) fn bad(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

/// An answer's body, or why not.
pub(crate) type Answered = Result<Response<PeerBody>, Refused>;

/// 200 with a message.
pub(crate) fn message<T: Serialize>(message: &T) -> Answered {
    let bytes = encode(message)
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(Response::new(whole(bytes)))
}

/// Answers on these sockets until the tasks are aborted.
pub(crate) fn serve(
    listeners: Vec<TcpListener>,
    tls: Option<&PeerTls>,
    door: &Door,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tasks.push(tokio::spawn(accept(listener, tls.cloned(), door.clone())));
    }
    Ok(tasks)
}

async fn accept(listener: tokio::net::TcpListener, tls: Option<PeerTls>, door: Door) {
    // Connections end with this task: a member that stops must not go on answering.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), door.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections of members");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<PeerTls>, door: Door) {
    let served = async {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            let http2 = begins_with_http2(&stream).await?;
            return http(TokioIo::new(stream), http2, door).await;
        };
        let handshake = TlsAcceptor::from((tls.server)()).accept(stream);
        let stream = tokio::time::timeout(FIRST_BYTES, handshake)
            .await
            .map_err(io::Error::other)??;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        http(TokioIo::new(stream), http2, door).await
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection of a member ended");
    }
}

async fn begins_with_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    let peeked = async {
        loop {
            let count = stream.peek(&mut first).await?;
            if count == 0 || first[..count] != HTTP2_PREFACE[..count] {
                return Ok(false);
            }
            if count == HTTP2_PREFACE.len() {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(FIRST_BYTES, peeked)
        .await
        .map_err(io::Error::other)?
}

async fn http<S>(stream: S, http2: bool, door: Door) -> io::Result<()>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(respond(request, door).await) }
    });
    if !http2 {
        return hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(stream, service)
            .await
            .map_err(io::Error::other);
    }
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .serve_connection(stream, service)
        .await
        .map_err(io::Error::other)
}

async fn respond(request: Request<Incoming>, door: Door) -> Response<PeerBody> {
    let result = match (request.method().clone(), request.uri().path()) {
        (Method::GET, "/version") => Ok(json(crate::json::version())),
        (Method::GET, "/members") => members(&door),
        (Method::POST, "/hello") => hello(request, &door).await,
        (Method::POST, _) => member_request(request, &door).await,
        _ => Err(Refused::new(StatusCode::NOT_FOUND, "404 page not found\n")),
    };
    result.unwrap_or_else(|refused| {
        let mut response = Response::new(whole(Bytes::from(refused.message)));
        *response.status_mut() = refused.status;
        response
    })
}

fn json(text: String) -> Response<PeerBody> {
    let mut response = Response::new(whole(Bytes::from(text)));
    let kind = hyper::header::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, kind);
    response
}

fn not_ready() -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "not in a cluster yet")
}

fn members(door: &Door) -> Answered {
    match door.phase() {
        Phase::Running(services) => Ok(json(services.members_json())),
        _ => Err(not_ready()),
    }
}

/// The whole of a body, if it is not too large.
pub(crate) async fn collect(body: Incoming) -> Result<Bytes, Refused> {
    let limited = Limited::new(body, FRAME_BYTES_MAX);
    let collected = limited.collect().await.map_err(Refused::bad)?;
    Ok(collected.to_bytes())
}

async fn hello(request: Request<Incoming>, door: &Door) -> Answered {
    let body = collect(request.into_body()).await?;
    let hello: Hello = decode(&body).map_err(Refused::bad)?;
    message(&match door.phase() {
        Phase::Starting => HelloAnswer::NotYet,
        Phase::Forming(forming) => forming.answer(&hello),
        Phase::Running(services) => HelloAnswer::Running(services.acquaintance()),
    })
}

async fn member_request(request: Request<Incoming>, door: &Door) -> Answered {
    let Phase::Running(services) = door.phase() else {
        return Err(not_ready());
    };
    let path = request.uri().path().to_owned();
    if path == "/join" {
        return services.join(collect(request.into_body()).await?).await;
    }
    check_sender(&request, &services)?;
    let body = request.into_body();
    match path.as_str() {
        "/append" => Ok(services.append(body)),
        "/snapshot" => services.snapshot(body).await,
        "/heartbeat" => services.heartbeat(collect(body).await?).await,
        "/vote" => services.vote(collect(body).await?).await,
        "/pre-vote" => services.pre_vote(collect(body).await?).await,
        "/transfer-leader" => services.transfer_leader(collect(body).await?).await,
        "/forward" => services.forward(collect(body).await?).await,
        // That it was not refused is the answer.
        "/still-member" => Ok(Response::new(whole(Bytes::new()))),
        "/read-index" => services.read_index().await,
        "/lease" => services.lease(collect(body).await?).await,
        "/membership" => services.membership(collect(body).await?).await,
        _ => Err(Refused::new(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}

/// Refuses who was removed, who is of another cluster, and who takes this member for another.
fn check_sender(request: &Request<Incoming>, services: &Services) -> Result<(), Refused> {
    let header = |name: &str| -> Result<u64, Refused> {
        let value = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        let number = value.and_then(|value| u64::from_str_radix(value, 16).ok());
        number.ok_or_else(|| Refused::bad(format!("no header {name}")))
    };
    let (cluster, to, from) = (
        header(CLUSTER_HEADER)?,
        MemberId(header(TO_HEADER)?),
        MemberId(header(FROM_HEADER)?),
    );
    if cluster != services.cluster().0 {
        let message = format!("this is cluster {}", services.cluster());
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, message));
    }
    if to != services.id() {
        let message = format!("this is member {}", services.id());
        return Err(Refused::new(StatusCode::PRECONDITION_FAILED, message));
    }
    if services.is_removed(from) {
        let message = format!("member {from} was removed");
        return Err(Refused::new(StatusCode::GONE, message));
    }
    Ok(())
}

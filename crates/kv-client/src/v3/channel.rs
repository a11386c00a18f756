//! Where requests go: one endpoint at a time, the next one when that fails.
//!
//! It repeats only what was certainly not sent, and marks such a failure for those above.
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Response, Uri};
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tower::Service;

use crate::connection::reason;
use crate::endpoint::Endpoint;
use crate::error::Attempt;
use crate::v3::dial::Dialer;

/// Marks a failure before anything was sent. No server sends it: it never leaves this process.
const NOT_SENT: &str = "kv-client-not-sent";

/// The connection in use, and the endpoints there are. Clones share it.
#[derive(Clone)]
pub(super) struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    endpoints: Vec<Endpoint>,
    /// Held while connecting, so that all wait for one connection.
    current: Mutex<Current>,
}

struct Current {
    /// Which endpoint is asked.
    pinned: usize,
    /// Grows whenever that may have changed.
    turn: Turn,
    connection: Option<SendRequest<Body>>,
}

/// Which connection something was sent by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// A connection that is open as far as is known.
struct Open {
    connection: SendRequest<Body>,
    endpoint: Endpoint,
    turn: Turn,
}

impl Channel {
    pub(super) fn new(dialer: Dialer, endpoints: Vec<Endpoint>) -> Self {
        let current = Current {
            pinned: 0,
            turn: Turn(0),
            connection: None,
        };
        Self {
            shared: Arc::new(Shared {
                dialer,
                endpoints,
                current: Mutex::new(current),
            }),
        }
    }

    /// Connects unless that is done; every endpoint is tried once.
    pub(super) async fn ready(&self) -> Result<Turn, Vec<Attempt>> {
        Ok(self.open().await?.turn)
    }

    /// The endpoints that are asked.
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.shared.endpoints
    }

    /// Asks another endpoint from now on, unless that is done already. What is under way goes on.
    pub(super) async fn turn_away(&self, from: Turn) {
        let mut current = self.shared.current.lock().await;
        if current.turn == from {
            current.advance(self.shared.endpoints.len());
        }
    }

    async fn open(&self) -> Result<Open, Vec<Attempt>> {
        let shared = &self.shared;
        let mut current = shared.current.lock().await;
        if current
            .connection
            .as_ref()
            .is_some_and(SendRequest::is_closed)
        {
            // Whoever closed it may be going away.
            current.advance(shared.endpoints.len());
        }
        let mut attempts = Vec::new();
        loop {
            let endpoint = shared.endpoints[current.pinned].clone();
            if let Some(connection) = &current.connection {
                return Ok(Open {
                    connection: connection.clone(),
                    endpoint,
                    turn: current.turn,
                });
            }
            match shared.dialer.dial(&endpoint).await {
                Ok(connection) => current.connection = Some(connection),
                Err(error) => {
                    attempts.push(Attempt { endpoint, error });
                    current.advance(shared.endpoints.len());
                }
            }
            if attempts.len() == shared.endpoints.len() {
                return Err(attempts);
            }
        }
    }

    async fn send(self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        // Each endpoint may close its connection just now; more often than that is no coincidence.
        for _ in 0..=self.shared.endpoints.len() {
            let mut open = self
                .open()
                .await
                .map_err(|attempts| unreachable(&attempts))?;
            *request.uri_mut() = target(&open.endpoint, request.uri());
            // One that is closing fails at the sending, and gives the request back.
            let _ready = open.connection.ready().await;
            match open.connection.try_send_request(request).await {
                Ok(answer) => return Ok(answer.map(|body| readable(body, &open.endpoint))),
                Err(mut error) => {
                    self.turn_away(open.turn).await;
                    let Some(unsent) = error.take_message() else {
                        return Err(lost(&open.endpoint, error.error()));
                    };
                    request = unsent;
                }
            }
        }
        Err(not_sent("every endpoint closes its connections at once"))
    }
}

impl Current {
    fn advance(&mut self, endpoints: usize) {
        self.connection = None;
        self.pinned = (self.pinned + 1) % endpoints;
        self.turn.0 += 1;
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = tower::BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { channel.send(request).await.map_err(Into::into) })
    }
}

/// The address of a call at an endpoint.
fn target(endpoint: &Endpoint, call: &Uri) -> Uri {
    let scheme = if endpoint.is_secure() {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let path = call.path_and_query().cloned();
    let built = Authority::try_from(endpoint.authority()).and_then(|authority| {
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(scheme);
        parts.authority = Some(authority);
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        Uri::from_parts(parts).map_err(|_| unreachable!("all three parts are there"))
    });
    // An endpoint that is no authority could not be dialed.
    built.unwrap_or_else(|_| call.clone())
}

/// A body whose end by a broken connection is told as such, not as the server's own failure.
fn readable(body: Incoming, endpoint: &Endpoint) -> Body {
    let endpoint = endpoint.clone();
    Body::new(body.map_err(move |error| lost(&endpoint, &error)))
}

fn lost(endpoint: &Endpoint, error: &hyper::Error) -> Status {
    Status::unavailable(format!(
        "lost the connection to {endpoint}: {}",
        reason(error)
    ))
}

fn not_sent(text: impl Into<String>) -> Status {
    let mut status = Status::unavailable(text);
    status
        .metadata_mut()
        .insert(NOT_SENT, MetadataValue::from_static("1"));
    status
}

fn unreachable(attempts: &[Attempt]) -> Status {
    let texts: Vec<String> = attempts.iter().map(|one| one.error.to_string()).collect();
    not_sent(texts.join("; "))
}

/// Whether a request that failed so was certainly not carried out.
pub(super) fn is_without_effect(status: &Status) -> bool {
    // With etcd and kvd alike these are said before anything is proposed.
    let is_refused_early = match status.code() {
        Code::Unavailable => status.message() == "etcdserver: no leader",
        Code::ResourceExhausted => status.message() == "etcdserver: too many requests",
        _ => false,
    };
    is_refused_early || status.metadata().contains_key(NOT_SENT)
}

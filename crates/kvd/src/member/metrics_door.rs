//! The listeners of --listen-metrics-urls: the same answers as clients get, but of monitoring only.
//!
//! Keys cannot be reached here, so the port may be open to those who must not see them.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kvd::http::{PeerIdentity, ServerState, serve_connection};

use super::identity;
use crate::listener::Arrival;

/// What may be asked.
const PATHS: &[&str] = &["/health", "/livez", "/metrics", "/readyz"];
/// Between the two ends of a connection inside the process.
const BUFFER_BYTES: usize = 16 << 10;

type Body = Either<Incoming, Empty<Bytes>>;

/// Serves monitoring. Cheap to clone.
#[derive(Clone)]
pub(super) struct MetricsDoor {
    state: Arc<ServerState>,
}

impl MetricsDoor {
    pub(super) fn new(state: Arc<ServerState>) -> Self {
        Self { state }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(self, arrival: Arrival) {
        let peer = identity(&arrival);
        let service = service_fn(|request| {
            let (state, peer) = (Arc::clone(&self.state), peer.clone());
            async move { Ok::<_, Infallible>(answer(request, peer, state).await) }
        });
        // An error is the client's affair: it went away.
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(arrival.stream), service)
            .await;
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: PeerIdentity,
    state: Arc<ServerState>,
) -> Response<Body> {
    if !PATHS.contains(&request.uri().path()) {
        return empty(StatusCode::NOT_FOUND);
    }
    // The server's own face answers, over a connection inside the process.
    let (near, far) = tokio::io::duplex(BUFFER_BYTES);
    tokio::spawn(serve_connection(far, peer, state));
    let Ok((mut sender, connection)) = handshake(TokioIo::new(near)).await else {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    };
    tokio::spawn(connection);
    match sender.send_request(request).await {
        Ok(answer) => answer.map(Either::Left),
        Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Either::Right(Empty::new()));
    *answer.status_mut() = status;
    answer
}

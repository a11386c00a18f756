//! Connections that come in, and HTTP on them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::api;
use crate::engine::Engine;

/// Connections there may be at once; more wait.
const CONNECTIONS_MAX: usize = 4096;
/// After an error of accept, such as too many open files: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What listeners share.
#[derive(Clone)]
pub(crate) struct Acceptor {
    connections: Arc<Semaphore>,
}

impl Acceptor {
    pub(crate) fn new() -> Self {
        Self {
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    /// Waits until every connection has ended, for some time; the others are cut.
    pub(crate) async fn end(&self, patience: Duration) {
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        let _late = tokio::time::timeout(patience, self.connections.acquire_many(all)).await;
    }

    /// Serves a listener for ever.
    pub(crate) async fn serve(self, listener: UnixListener, engine: Arc<Engine>) {
        loop {
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let engine = Arc::clone(&engine);
                    tokio::spawn(async move {
                        talk(stream, engine).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn talk(stream: UnixStream, engine: Arc<Engine>) {
    let service = service_fn(move |request| {
        let engine = Arc::clone(&engine);
        async move { Ok::<_, Infallible>(api::answer(&engine, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // A client that waits for an exit says nothing for days.
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // That the client went away is no error of ours.
    let _gone = connection.await;
}

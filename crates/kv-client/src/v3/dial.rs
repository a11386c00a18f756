//! One HTTP/2 connection to one endpoint.
//!
//! It does not choose the endpoint.
use std::time::Duration;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;

use crate::connection::{in_gos_words, reason};
use crate::endpoint::Endpoint;
use crate::error::AttemptError;

/// A silent connection is asked whether it lives; etcd closes it if that comes oftener than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens connections.
pub(super) struct Dialer {
    pub(super) tls: Option<TlsConnector>,
    pub(super) connect_timeout: Duration,
}

impl Dialer {
    /// Connects; nothing is asked yet.
    pub(super) async fn dial(
        &self,
        endpoint: &Endpoint,
    ) -> Result<SendRequest<Body>, AttemptError> {
        timeout(self.connect_timeout, self.dial_unbounded(endpoint))
            .await
            .unwrap_or_else(|_| Err("i/o timeout".to_owned()))
            .map_err(|reason| AttemptError::Connect {
                address: endpoint.authority(),
                reason,
            })
    }

    async fn dial_unbounded(&self, endpoint: &Endpoint) -> Result<SendRequest<Body>, String> {
        let stream = TcpStream::connect((endpoint.host(), endpoint.port()))
            .await
            .map_err(|error| in_gos_words(&error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        if !endpoint.is_secure() {
            return serve(TokioIo::new(stream)).await;
        }
        let connector = self.tls.as_ref().ok_or("TLS is not configured")?;
        let name =
            ServerName::try_from(endpoint.host().to_owned()).map_err(|error| error.to_string())?;
        let stream = connector.connect(name, stream).await;
        serve(TokioIo::new(
            stream.map_err(|error| format!("TLS: {error}"))?,
        ))
        .await
    }
}

/// Runs a connection in a task of its own until either side closes it.
async fn serve<T>(stream: T) -> Result<SendRequest<Body>, String>
where
    T: Read + Write + Send + Unpin + 'static,
{
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(stream)
        .await
        .map_err(|error| reason(&error))?;
    tokio::spawn(async move {
        // How it ended is told to whoever waits on it.
        let _ended = connection.await;
    });
    Ok(sender)
}

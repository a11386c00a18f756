//! Connections to a peer URL: TCP, TLS if the URL says so, HTTP/2.
//!
//! Which member is behind the URL, and what is asked, is for others to know.
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::peer::wire::FRAME_BYTES_MAX;
use crate::settings::PeerTls;

/// A body of a request: whole, or sent as it comes.
pub(crate) type PeerBody = UnsyncBoxBody<Bytes, io::Error>;

/// Windows of flow control: large enough for a long way, small enough for little memory.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A connection is tried so often, and closed without an answer: a slow answer to a single request
/// is no reason to open another.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(3);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no connection: nothing was sent.
    #[error("cannot connect to {url}")]
    NotConnected {
        /// Where.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody knows where that member is: nothing was sent.
    #[error("no URL is known for the member")]
    NoAddress,
    /// The connection broke; it may have arrived.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time; it may have arrived.
    #[error("no answer in time")]
    TimedOut,
    /// It was refused.
    #[error("refused with status {status}: {message}")]
    Refused {
        /// HTTP's status.
        status: StatusCode,
        /// The reason in words.
        message: String,
    },
}

/// A body that is there.
pub(crate) fn whole(bytes: Bytes) -> PeerBody {
    Full::new(bytes).map_err(io::Error::other).boxed_unsync()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Opens a connection.
pub(crate) async fn connect(url: &str, tls: Option<&PeerTls>) -> io::Result<SendRequest<PeerBody>> {
    let uri: Uri = url.parse().map_err(io::Error::other)?;
    let host = uri.host().ok_or_else(|| invalid("URL without a host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri
        .port_u16()
        .ok_or_else(|| invalid("URL without a port"))?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    if uri.scheme_str() != Some("https") {
        return handshake(TokioIo::new(stream)).await;
    }
    let tls = tls.ok_or_else(|| invalid("an https URL, but no TLS between members"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from((tls.client)());
    handshake(TokioIo::new(connector.connect(name, stream).await?)).await
}

async fn handshake<S>(stream: S) -> io::Result<SendRequest<PeerBody>>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a member ended");
        }
    });
    Ok(sender)
}

/// The whole of an answer, or the refusal it is.
pub(crate) async fn answer(
    response: hyper::Response<hyper::body::Incoming>,
) -> Result<Bytes, CallError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), FRAME_BYTES_MAX);
    let bytes = body.collect().await.map_err(CallError::Broken)?.to_bytes();
    if status == StatusCode::OK {
        return Ok(bytes);
    }
    Err(CallError::Refused {
        status,
        message: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// Asks whoever is at a URL, on a connection for this once. For members that do not know each other
/// yet.
pub(crate) async fn ask(
    url: &str,
    tls: Option<&PeerTls>,
    path: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<Bytes, CallError> {
    let call = async {
        let not_connected = |source| CallError::NotConnected {
            url: url.to_owned(),
            source,
        };
        let mut sender = connect(url, tls).await.map_err(not_connected)?;
        let request = Request::post(format!("{}{path}", url.trim_end_matches('/')))
            .body(whole(body))
            .map_err(|error| CallError::Broken(error.into()))?;
        let response = sender.send_request(request).await;
        answer(response.map_err(|error| CallError::Broken(error.into()))?).await
    };
    tokio::time::timeout(timeout, call)
        .await
        .unwrap_or(Err(CallError::TimedOut))
}

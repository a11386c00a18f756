//! Asking other servers over HTTP/1.1: connections to a URL, and whole answers to small requests.
//!
//! Used for discovery, and by the proxy. It retries nothing and follows no redirect.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::endpoint::{Endpoint, Place};
use crate::tls::ClientTls;

/// The largest answer that is read as a whole.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A silent connection is asked after so long whether its other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    /// No connection; nothing was sent.
    #[error("cannot connect to {to}: {source}")]
    Connect { to: String, source: io::Error },
    /// Nothing in time.
    #[error("{to} did not answer in time")]
    TimedOut { to: String },
    /// The connection broke.
    #[error("{to} broke off: {source}")]
    Broken { to: String, source: hyper::Error },
    /// The answer is too long, or broke off in the middle.
    #[error("the answer of {to} cannot be read: {reason}")]
    Answer { to: String, reason: String },
    /// The URL cannot be asked.
    #[error("{0} is no URL that can be asked")]
    Url(String),
}

/// A connection to an endpoint, HTTP/1.1 spoken on it. It breaks when the other end does not take
/// what is sent for as long as `stall` says, or is no longer there.
pub(crate) async fn connect<B>(
    endpoint: &Endpoint,
    tls: Option<&ClientTls>,
    timeout: Duration,
    stall: Option<Duration>,
) -> Result<SendRequest<B>, OutboundError>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let to = endpoint.to_string();
    match tokio::time::timeout(timeout, establish(endpoint, tls, stall)).await {
        Ok(Ok(sender)) => Ok(sender),
        Ok(Err(source)) => Err(OutboundError::Connect { to, source }),
        Err(_) => Err(OutboundError::Connect {
            to,
            source: io::ErrorKind::TimedOut.into(),
        }),
    }
}

async fn establish<B>(
    endpoint: &Endpoint,
    tls: Option<&ClientTls>,
    stall: Option<Duration>,
) -> io::Result<SendRequest<B>>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let name = match &endpoint.place {
        Place::Tcp { host, .. } => host.clone(),
        Place::Unix(_) => "localhost".to_owned(),
    };
    let connector = match (endpoint.tls, tls) {
        (false, _) => None,
        (true, Some(tls)) => Some(TlsConnector::from(tls.current())),
        (true, None) => return Err(io::Error::other("TLS is not set up")),
    };
    match &endpoint.place {
        Place::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            let socket = SockRef::from(&stream);
            socket.set_tcp_user_timeout(stall)?;
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE)
                .with_interval(KEEPALIVE / 3);
            socket.set_tcp_keepalive(&keepalive)?;
            secure(stream, connector, name).await
        }
        Place::Unix(path) => secure(UnixStream::connect(path).await?, connector, name).await,
    }
}

async fn secure<S, B>(
    stream: S,
    connector: Option<TlsConnector>,
    name: String,
) -> io::Result<SendRequest<B>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match connector {
        None => speak(stream).await,
        Some(connector) => {
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            speak(connector.connect(name, stream).await?).await
        }
    }
}

async fn speak<S, B>(stream: S) -> io::Result<SendRequest<B>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // Its errors come to the sender of the request too.
    tokio::spawn(connection);
    Ok(sender)
}

/// An answer, read as a whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Asks small questions.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) tls: Option<Arc<ClientTls>>,
    /// For each question, connection and answer together.
    pub(crate) timeout: Duration,
    /// `http://host:port` of an HTTP proxy, for plain http URLs.
    pub(crate) http_proxy: Option<Endpoint>,
}

impl Asker {
    /// One request on a connection of its own. A body is a form.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        form: Option<String>,
    ) -> Result<Answer, OutboundError> {
        let answer = self.exchange(method, url, form);
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(OutboundError::TimedOut { to: url.to_owned() }),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        form: Option<String>,
    ) -> Result<Answer, OutboundError> {
        let (endpoint, path) = split_url(url).ok_or_else(|| OutboundError::Url(url.to_owned()))?;
        let by_proxy = self.http_proxy.as_ref().filter(|_| !endpoint.tls);
        let target = match by_proxy {
            Some(_) => url.to_owned(),
            None => path,
        };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", endpoint.authority())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form.unwrap_or_default())))
            .map_err(|_| OutboundError::Url(url.to_owned()))?;
        let to = endpoint.to_string();
        let via = by_proxy.unwrap_or(&endpoint);
        let mut sender = connect(via, self.tls.as_deref(), self.timeout, None).await?;
        let answer =
            sender
                .send_request(request)
                .await
                .map_err(|source| OutboundError::Broken {
                    to: to.clone(),
                    source,
                })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| OutboundError::Answer {
                to,
                reason: error.to_string(),
            })?
            .to_bytes();
        Ok(Answer { status, body })
    }
}

/// Splits a URL into where to connect and what to ask for; http and https have their usual ports.
fn split_url(url: &str) -> Option<(Endpoint, String)> {
    let uri: Uri = url.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let host = uri.host()?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let place = Place::Tcp { host, port };
    Some((Endpoint { tls, place }, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_with_their_usual_ports() {
        for (url, endpoint, path) in [
            ("http://a/b?c=d", "http://a:80", "/b?c=d"),
            ("https://a/", "https://a:443", "/"),
            ("http://[::1]:5", "http://[::1]:5", "/"),
        ] {
            let (found, rest) = split_url(url).unwrap();
            assert_eq!(
                (found.to_string().as_str(), rest.as_str()),
                (endpoint, path)
            );
        }
        for url in ["/a", "a", "ftp://a/"] {
            assert!(split_url(url).is_none(), "{url}");
        }
    }
}

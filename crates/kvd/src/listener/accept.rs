//! Accepting: a task per connection, TLS first where it is spoken, never more than the limit.
//!
//! What is said on a connection is somebody else's affair, given as a function.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::stream::{Plain, Stream};
use super::{Listener, Listening};
use crate::tls::{ServerTls, common_name};

/// A client that says nothing in this time during the handshake is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error of accept, such as too many open files: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 22;
/// What Go's servers, and so etcd, tell who speaks HTTP where TLS is spoken.
const PLAIN_ON_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// A connection that is ready for HTTP.
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    /// Where it comes from; none for a Unix socket.
    pub(crate) address: Option<SocketAddr>,
    /// The CN of its certificate, if certificates name users here.
    pub(crate) common_name: Option<String>,
}

/// What may be spoken inside TLS, whatever its configuration offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1 alone.
    Http1,
    /// HTTP/2 too.
    Http2,
}

/// What all listeners of one kind share.
#[derive(Clone)]
pub(crate) struct Acceptor {
    /// Without, a listener with TLS cannot be served.
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// What may be spoken inside TLS.
    pub(crate) speaks: Speaks,
    /// Whether a certificate's CN is passed on.
    pub(crate) names_users: bool,
    /// A permit for every connection there may be.
    pub(crate) connections: Arc<Semaphore>,
    /// Turns true when no more may come.
    pub(crate) stop: watch::Receiver<bool>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    async fn accept(&self) -> io::Result<(Plain, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Plain::Tcp(stream), Some(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Plain::Unix(stream), None))
            }
        }
    }
}

/// Accepts until told to stop. `handle` serves one connection to its end.
pub(crate) async fn serve<F, R>(listener: Listener, acceptor: Acceptor, handle: F) -> io::Result<()>
where
    F: Fn(Arrival) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let tls = match (listener.tls, &acceptor.tls) {
        (false, _) => None,
        (true, Some(tls)) => Some(Arc::clone(tls)),
        (true, None) => return Err(io::Error::other("TLS without a certificate")),
    };
    let socket = match listener.socket {
        Listening::Tcp(socket) => Socket::Tcp(TcpListener::from_std(socket)?),
        Listening::Unix(socket) => Socket::Unix(UnixListener::from_std(socket)?),
    };
    let mut stop = acceptor.stop.clone();
    loop {
        let next = async {
            let permit = permit(&acceptor.connections, &listener.url).await;
            (socket.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let (plain, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept on {}: {error}", listener.url);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let tls = tls.clone();
        let (speaks, names_users) = (acceptor.speaks, acceptor.names_users);
        let handle = handle.clone();
        tokio::spawn(async move {
            if let Some(arrival) = greet(plain, address, tls, speaks, names_users).await {
                handle(arrival).await;
            }
            drop(permit);
        });
    }
}

/// Waits for a connection's turn; beyond the limit clients wait in the kernel's queue.
async fn permit(connections: &Arc<Semaphore>, url: &str) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(connections).try_acquire_owned() {
        return Some(permit);
    }
    tracing::warn!("{url}: no more connections are accepted until some end: see --max-connections");
    // It is never closed.
    Arc::clone(connections).acquire_owned().await.ok()
}

/// Speaks TLS where that is asked for; none if the other end would not.
async fn greet(
    plain: Plain,
    address: Option<SocketAddr>,
    tls: Option<Arc<ServerTls>>,
    speaks: Speaks,
    names_users: bool,
) -> Option<Arrival> {
    let Some(tls) = tls else {
        let stream = Stream::Plain(plain);
        let common_name = None;
        return Some(Arrival {
            stream,
            address,
            common_name,
        });
    };
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(plain, &tls, speaks));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(reason)) => {
            let from = address.map_or("a local client".to_owned(), |one| one.to_string());
            tracing::info!("{from} was refused: {reason}");
            return None;
        }
        Err(_) => return None,
    };
    let certificates = match &stream {
        Stream::Tls(stream) => stream.get_ref().1.peer_certificates(),
        Stream::Plain(_) => None,
    };
    let first: Option<&CertificateDer<'_>> = certificates.and_then(<[_]>::first);
    let common_name = first.filter(|_| names_users).and_then(common_name);
    Some(Arrival {
        stream,
        address,
        common_name,
    })
}

async fn shake_hands(mut plain: Plain, tls: &ServerTls, speaks: Speaks) -> io::Result<Stream> {
    if let Plain::Tcp(stream) = &plain {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[0] != TLS_HANDSHAKE {
            plain.write_all(PLAIN_ON_TLS).await?;
            plain.shutdown().await?;
            return Err(io::Error::other("it spoke HTTP where TLS is spoken"));
        }
    }
    let acceptor = TlsAcceptor::from(match speaks {
        Speaks::Http1 => without_http2(&tls.current()),
        Speaks::Http2 => tls.current(),
    });
    let stream = acceptor.accept(plain).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

fn without_http2(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols.retain(|protocol| protocol != b"h2");
    Arc::new(config)
}

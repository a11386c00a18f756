//! Sockets, and the connections that come in: those that systemd passed on, and those of the settings.
//!
//! A stream socket of the Internet speaks mutual TLS, or refuses everything and says why. What is
//! asked on a connection is answered elsewhere.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::answer::AnswerBody;
use super::role::Caller;
use super::tls::ServerTls;

/// A client that says nothing in this time while it connects, or between requests, is let go.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// Connections there may be at once; more wait.
const CONNECTIONS_MAX: usize = 4096;
/// After an error of accept, such as too many open files: trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that is listened on.
pub(crate) enum Listener {
    /// On this machine; its permissions say who may come.
    Local(UnixListener),
    /// On the network.
    Network(TcpListener),
}

/// What listeners share.
#[derive(Clone)]
pub(crate) struct Acceptor {
    /// Without, the network is refused.
    tls: Option<Arc<ServerTls>>,
    connections: Arc<Semaphore>,
    /// Turns true when connections shall end.
    stop: watch::Receiver<bool>,
}

/// Answers requests.
pub(crate) trait Handle: Send + Sync + 'static {
    /// Answers one.
    fn handle(
        &self,
        caller: &Caller,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send;
}

impl Listener {
    /// A socket that systemd opened.
    pub(crate) fn from_descriptor(descriptor: OwnedFd) -> anyhow::Result<Self> {
        let socket = socket2::Socket::from(descriptor);
        socket
            .set_nonblocking(true)
            .context("cannot use a socket that systemd passed on")?;
        let address = socket
            .local_addr()
            .context("a descriptor that systemd passed on is no socket")?;
        if address.is_unix() {
            let listener = UnixListener::from_std(OwnedFd::from(socket).into());
            return Ok(Self::Local(
                listener.context("cannot listen on fleet.sock")?,
            ));
        }
        let listener = TcpListener::from_std(OwnedFd::from(socket).into());
        Ok(Self::Network(listener.context("cannot listen on TCP")?))
    }

    /// An address of the settings.
    pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self::Network(listener))
    }

    /// The port, if it is on the network.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Local(_) => None,
            Self::Network(listener) => Some(listener.local_addr().ok()?.port()),
        }
    }
}

/// A connection before anything was said.
enum Arrival {
    Local(UnixStream),
    Network(TcpStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Local(listener) => Ok(Arrival::Local(listener.accept().await?.0)),
            Self::Network(listener) => Ok(Arrival::Network(listener.accept().await?.0)),
        }
    }
}

impl Acceptor {
    pub(crate) fn new(tls: Option<Arc<ServerTls>>, stop: watch::Receiver<bool>) -> Self {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self {
            tls,
            connections,
            stop,
        }
    }

    /// Waits until every connection has ended, for some time.
    pub(crate) async fn wait_for_answers(&self, patience: Duration) {
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        // Those that take longer are cut.
        let _ = tokio::time::timeout(patience, self.connections.acquire_many(all)).await;
    }

    /// Serves a listener until told to stop.
    pub(crate) async fn serve(self, listener: Listener, handler: Arc<impl Handle>) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.accept_all(&listener, &handler) => {}
            _ = stop.wait_for(|stops| *stops) => {}
        }
    }

    async fn accept_all(&self, listener: &Listener, handler: &Arc<impl Handle>) {
        loop {
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok(arrival) => {
                    let (acceptor, handler) = (self.clone(), Arc::clone(handler));
                    tokio::spawn(async move {
                        acceptor.greet(arrival, handler).await;
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

    /// Finds out who it is, and serves them.
    async fn greet(&self, arrival: Arrival, handler: Arc<impl Handle>) {
        let stream = match arrival {
            Arrival::Local(stream) => return self.talk(stream, Caller::Local, handler).await,
            Arrival::Network(stream) => stream,
        };
        // Answers are small and waited for.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.talk(stream, Caller::Unencrypted, handler).await;
        };
        let handshake = tls.acceptor().accept(stream);
        let stream = match tokio::time::timeout(SILENCE_MAX, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::info!("a client was refused by TLS: {error}");
                return;
            }
            Err(_) => return,
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let Some(certificate) = certificates.and_then(|chain| chain.first()) else {
            return; // the handshake asks for one
        };
        let caller = Caller::from_certificate(certificate);
        self.talk(stream, caller, handler).await;
    }

    /// Serves one connection.
    pub(super) async fn talk<S>(&self, stream: S, caller: Caller, handler: Arc<impl Handle>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (handler, caller) = (&*handler, &caller);
        let service = service_fn(move |request| async move {
            Ok::<_, Infallible>(handler.handle(caller, request).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(SILENCE_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut stop = self.stop.clone();
        // That the client went away is no error of ours, and it cannot be told anything.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = stop.wait_for(|stops| *stops) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

//! Sockets that listen: opened from URLs or taken over from systemd, TCP or Unix.
//!
//! Connections are served in [`accept`].

mod accept;
mod stream;

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

pub(crate) use accept::{Acceptor, Arrival, Speaks, serve};
pub(crate) use stream::Stream;

use crate::endpoint::{Endpoint, Place};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// An idle connection is asked after so long whether its other end is still there: a watch may be
/// silent for days.
const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(30);

/// Why nothing can listen there; says what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {url} (--{flag}): {source}")]
pub(crate) struct ListenError {
    pub(crate) url: String,
    pub(crate) flag: &'static str,
    pub(crate) source: io::Error,
}

/// An open socket, not yet known to a runtime.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(StdTcpListener),
    Unix(StdUnixListener),
}

/// A socket that listens, and whether TLS is spoken on it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) url: String,
    pub(crate) tls: bool,
    pub(crate) socket: Listening,
}

/// Opens a socket for every URL.
pub(crate) fn open(
    flag: &'static str,
    endpoints: &[Endpoint],
) -> Result<Vec<Listener>, ListenError> {
    let open = |endpoint: &Endpoint| {
        let url = endpoint.to_string();
        let socket = match &endpoint.place {
            Place::Tcp { host, port } => listen_tcp(host, *port).map(Listening::Tcp),
            Place::Unix(path) => listen_unix(path).map(Listening::Unix),
        };
        match socket {
            Ok(socket) => Ok(Listener {
                url,
                tls: endpoint.tls,
                socket,
            }),
            Err(source) => Err(ListenError { url, flag, source }),
        }
    };
    endpoints.iter().map(open).collect()
}

/// Makes listeners of sockets that systemd opened.
pub(crate) fn adopt(descriptors: Vec<OwnedFd>, tls: bool) -> Result<Vec<Listener>, ListenError> {
    let adopt = |descriptor: OwnedFd| {
        let socket = Socket::from(descriptor);
        let socket = match socket.domain()? {
            Domain::UNIX => Listening::Unix(StdUnixListener::from(OwnedFd::from(socket))),
            _ => Listening::Tcp(StdTcpListener::from(socket)),
        };
        let url = "a socket of systemd".to_owned();
        socket.set_nonblocking()?;
        Ok(Listener { url, tls, socket })
    };
    let adopted: io::Result<Vec<Listener>> = descriptors.into_iter().map(adopt).collect();
    adopted.map_err(|source| ListenError {
        url: "a socket of systemd".to_owned(),
        flag: "listen-client-urls",
        source,
    })
}

impl Listening {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }
}

/// On the first address of the host that can be listened on.
fn listen_tcp(host: &str, port: u16) -> io::Result<StdTcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_at(address: SocketAddr) -> io::Result<StdTcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for the connections of the process before it.
    socket.set_reuse_address(true)?;
    // Connections inherit both from the socket they come from.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A socket that a dead process left is taken away; one that answers is not.
fn listen_unix(path: &Path) -> io::Result<StdUnixListener> {
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let listener = StdUnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;

//! Ports of the machine, taken by a socket, so that nobody else can have them while a container does.
//!
//! The socket is bound and never listens: packets for the port go to the container before a socket is looked for. What
//! reaches the machine by a way that netavark has no rule for, such as `::1`, is refused at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use container_model::network::BoundPort;
use container_model::port::{HostPort, Protocol, PublishedPort};
use socket2::{Domain, Socket, Type};

use crate::error::Error;
use crate::occupant;

/// How often a port that is free over one family is looked for that is free over the other, too.
const TRIES: usize = 16;

/// The sockets that hold one port.
#[derive(Debug)]
pub struct Claim(Vec<Socket>);

impl Claim {
    /// Their descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(AsFd::as_fd)
    }
}

/// Takes a port at its addresses, of the families that the container has.
pub(crate) fn take(wanted: &PublishedPort, has_v6: bool) -> Result<(BoundPort, Claim), Error> {
    let bound = |host| BoundPort {
        address: wanted.address,
        host,
        container: wanted.container,
        protocol: wanted.protocol,
    };
    let addresses = addresses(wanted.address, has_v6);
    match wanted.host {
        HostPort::Given(host) => {
            let port = bound(host);
            let claim = bind_all(&port, &addresses)?;
            Ok((port, claim))
        }
        HostPort::Any => {
            let mut last = None;
            for _ in 0..TRIES {
                let host =
                    free_port(wanted.protocol, addresses[0]).map_err(|reason| Error::Port {
                        port: bound(0),
                        reason,
                    })?;
                let port = bound(host);
                match bind_all(&port, &addresses) {
                    Ok(claim) => return Ok((port, claim)),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or(Error::PortInUse {
                port: bound(0),
                owner: None,
            }))
        }
    }
}

fn addresses(asked: Option<IpAddr>, has_v6: bool) -> Vec<IpAddr> {
    let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    match asked {
        Some(address) => vec![address],
        None if has_v6 => vec![v4, IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        None => vec![v4],
    }
}

/// A port that the kernel finds free now.
fn free_port(protocol: Protocol, address: IpAddr) -> io::Result<u16> {
    match bind(protocol, address, 0)? {
        Some(socket) => {
            let address = socket.local_addr()?.as_socket();
            Ok(address.map_or(0, |address| address.port()))
        }
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn bind_all(port: &BoundPort, addresses: &[IpAddr]) -> Result<Claim, Error> {
    let mut sockets = Vec::new();
    for address in addresses {
        match bind(port.protocol, *address, port.host) {
            Ok(socket) => sockets.extend(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(Error::PortInUse {
                    port: port.clone(),
                    owner: occupant::of(port),
                });
            }
            Err(reason) => {
                return Err(Error::Port {
                    port: port.clone(),
                    reason,
                });
            }
        }
    }
    Ok(Claim(sockets))
}

/// A socket at the port; none of a protocol that the kernel has no sockets of, which then nobody can have.
fn bind(protocol: Protocol, address: IpAddr, port: u16) -> io::Result<Option<Socket>> {
    let domain = Domain::for_address(SocketAddr::new(address, port));
    let (kind, number) = match protocol {
        Protocol::Tcp => (Type::STREAM, socket2::Protocol::TCP),
        Protocol::Udp => (Type::DGRAM, socket2::Protocol::UDP),
        Protocol::Sctp => (Type::STREAM, socket2::Protocol::SCTP),
    };
    let socket = match Socket::new(domain, kind, Some(number)) {
        Err(error) if protocol == Protocol::Sctp && is_unknown(&error) => return Ok(None),
        other => other?,
    };
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a server that has just ended are no hindrance.
    if protocol == Protocol::Tcp {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SocketAddr::new(address, port).into())?;
    // From now on somebody else's wish to share the port is none of ours.
    if protocol == Protocol::Tcp {
        socket.set_reuse_address(false)?;
    }
    Ok(Some(socket))
}

fn is_unknown(error: &io::Error) -> bool {
    let unknown = [
        libc::EPROTONOSUPPORT,
        libc::EAFNOSUPPORT,
        libc::ESOCKTNOSUPPORT,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| unknown.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn wanted(host: HostPort, protocol: Protocol) -> PublishedPort {
        PublishedPort {
            address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host,
            container: 80,
            protocol,
        }
    }

    #[test]
    fn a_taken_port_is_nobody_elses() {
        let (port, claim) = take(&wanted(HostPort::Any, Protocol::Tcp), false).unwrap();
        assert_ne!(port.host, 0);
        let address = ("127.0.0.1", port.host);
        // The standard library's listener is willing to share.
        let refused = TcpListener::bind(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let again = take(&wanted(HostPort::Given(port.host), Protocol::Tcp), false);
        assert!(matches!(again, Err(Error::PortInUse { .. })), "{again:?}");
        drop(claim);
        // A child of another test may have a copy until it becomes its program.
        let is_free = || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            TcpListener::bind(address).is_ok()
        };
        assert!((0..250).any(|_| is_free()));
    }

    #[test]
    fn a_port_in_use_is_refused_with_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().port();
        let error = take(&wanted(HostPort::Given(host), Protocol::Tcp), false).unwrap_err();
        let expected = format!("the port 127.0.0.1:{host}/tcp is in use by ");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(
            error
                .to_string()
                .ends_with(&format!("(process {})", std::process::id())),
            "{error}"
        );
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let host = socket.local_addr().unwrap().port();
        let taken = take(&wanted(HostPort::Given(host), Protocol::Udp), false);
        assert!(matches!(taken, Err(Error::PortInUse { .. })), "{taken:?}");
    }

    #[test]
    fn connections_of_a_server_that_ended_are_no_hindrance() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        // Whoever closes first waits.
        drop((server, listener));
        drop(client);
        take(
            &wanted(HostPort::Given(address.port()), Protocol::Tcp),
            false,
        )
        .unwrap();
    }
}

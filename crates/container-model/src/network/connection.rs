//! A container in a network: its addresses, names and published ports.
//!
//! Made before anything is set up, and kept until nothing of it is left.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::definition::NetworkDefinition;
use super::identifier;
use super::mac_address::MacAddress;
use crate::name::Name;
use crate::port::Protocol;

/// The machine's end of a container's interface has a name that begins with it.
const INTERFACE_PREFIX: &str = "kv-";

/// A container in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The container's name, by which others find it.
    pub container: Name,
    /// Its unit, if it runs in one.
    pub unit: Option<String>,
    /// The network as it was then.
    pub network: NetworkDefinition,
    /// Which of the container's interfaces it is; the first one is 0, and has the published ports.
    pub number: u16,
    /// One for each subnet of the network, in their order.
    pub addresses: Vec<IpAddr>,
    /// Other names by which others find it.
    pub aliases: Vec<String>,
    /// The interface's; a random one if none.
    pub mac_address: Option<MacAddress>,
    /// What of the machine leads to it.
    pub ports: Vec<BoundPort>,
    /// Who is asked for names that are no container's, instead of the network's.
    pub dns_servers: Vec<IpAddr>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPort {
    /// On which of the machine's addresses; on all of them if none.
    pub address: Option<IpAddr>,
    /// On the machine.
    pub host: u16,
    /// In the container.
    pub container: u16,
    /// Over what.
    pub protocol: Protocol,
}

impl Connection {
    /// 64 hexadecimal digits that stand in no other container's. They are the same in all of its networks, by which
    /// aardvark-dns answers for all of them, whichever is asked.
    pub fn id(&self) -> String {
        identifier::long("container", self.container.as_str())
    }

    /// The name of the interface in the container.
    pub fn inner_interface(&self) -> String {
        format!("eth{}", self.number)
    }

    /// The name of the machine's end of the interface.
    pub fn interface(&self) -> String {
        let name = format!("{}/{}", self.container, self.network.name);
        identifier::interface(INTERFACE_PREFIX, "connection", &name)
    }

    /// The one of its ports that excludes another, if there is one.
    pub fn conflict(&self, wanted: &BoundPort) -> Option<&BoundPort> {
        self.ports.iter().find(|port| port.excludes(wanted))
    }
}

impl BoundPort {
    /// Whether only one of both can be: the same port, at the same address or at all.
    pub fn excludes(&self, other: &Self) -> bool {
        let is_everywhere = |address: IpAddr| address.is_unspecified();
        let same_address = match (self.address, other.address) {
            (Some(one), Some(other)) => {
                let same_family = one.is_ipv4() == other.is_ipv4();
                one == other || same_family && (is_everywhere(one) || is_everywhere(other))
            }
            _ => true,
        };
        self.host == other.host && self.protocol == other.protocol && same_address
    }
}

impl fmt::Display for BoundPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}/{}", self.host, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(address: &str, host: u16, protocol: Protocol) -> BoundPort {
        BoundPort {
            address: address.parse().ok(),
            host,
            container: 80,
            protocol,
        }
    }

    #[test]
    fn ports_exclude_each_other_where_they_meet() {
        let tcp = Protocol::Tcp;
        let cases = [
            (port("", 1, tcp), port("", 1, tcp), true),
            (port("", 1, tcp), port("", 2, tcp), false),
            (port("", 1, tcp), port("", 1, Protocol::Udp), false),
            (port("", 1, tcp), port("127.0.0.1", 1, tcp), true),
            (port("127.0.0.2", 1, tcp), port("127.0.0.1", 1, tcp), false),
            (port("0.0.0.0", 1, tcp), port("127.0.0.1", 1, tcp), true),
            (port("0.0.0.0", 1, tcp), port("::1", 1, tcp), false),
            (port("::1", 1, tcp), port("::1", 1, tcp), true),
        ];
        for (one, other, expected) in cases {
            assert_eq!(one.excludes(&other), expected, "{one} {other}");
            assert_eq!(other.excludes(&one), expected, "{other} {one}");
        }
        assert_eq!(port("::1", 1, tcp).to_string(), "[::1]:1/tcp");
        assert_eq!(port("", 53, Protocol::Udp).to_string(), "53/udp");
    }
}

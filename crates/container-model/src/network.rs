//! Networks: which ones a container is in, what they are, which addresses and names their containers have,
//! and what netavark is told of them.
//!
//! Makes none. `container:NAME` is refused: two units that share one network need a third that holds it.

mod address;
mod connection;
mod definition;
mod identifier;
mod mac_address;
mod netavark;
mod option;
mod subnet;

use core::fmt;
use std::str::FromStr;

pub use address::{AddressError, allocate};
pub use connection::{BoundPort, Connection};
pub use definition::{DefinitionError, NetworkDefinition, NetworkSettings};
pub use mac_address::MacAddress;
pub use netavark::Request as NetavarkRequest;
pub use option::{Endpoint, NetworkOption};
pub use subnet::{Subnet, choose_v4, choose_v6};

use crate::malformed::Malformed;
use crate::name::Name;

/// Which network it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The machine's own.
    Host,
    /// A loopback interface and nothing else.
    None,
    /// The default bridge, behind the machine's address.
    Bridge,
    /// A network that somebody made.
    Named(Name),
}

/// 64 hexadecimal digits, as Docker's networks have: the id of the network of a name.
pub fn id(name: &Name) -> String {
    identifier::long("network", name.as_str())
}

/// The default network's name, in files and in lists.
pub const BRIDGE: &str = "bridge";

impl Network {
    /// The name of a network of the container's own.
    pub fn name(&self) -> Option<Name> {
        match self {
            Self::Host | Self::None => None,
            Self::Bridge => BRIDGE.parse().ok(),
            Self::Named(name) => Some(name.clone()),
        }
    }

    /// Whether nobody may give a network this name: it means another one, or none.
    pub fn is_reserved(name: &Name) -> bool {
        ["host", "none", "default", BRIDGE].contains(&name.as_str())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
            Self::Bridge => f.write_str(BRIDGE),
            Self::Named(name) => fmt::Display::fmt(name, f),
        }
    }
}

impl FromStr for Network {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            "bridge" | "default" => Ok(Self::Bridge),
            _ if text.starts_with("container:") || text.starts_with("ns:") => {
                let reason =
                    "another's network is not supported: `host`, `none`, `bridge` and names are";
                Err(Malformed::new("network", text, reason))
            }
            _ => Ok(Self::Named(text.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_words_or_names() {
        assert_eq!("host".parse(), Ok(Network::Host));
        assert_eq!("none".parse(), Ok(Network::None));
        assert_eq!("default".parse(), Ok(Network::Bridge));
        assert_eq!("a".parse(), Ok(Network::Named("a".parse().unwrap())));
        for bad in ["", "container:a", "ns:/a", "a b"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}

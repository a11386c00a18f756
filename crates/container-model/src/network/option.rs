//! `--network`: a network, and what a container asks for in it.
//!
//! Written as podman does, `NAME:ip=ADDRESS,alias=NAME`, or as Docker does, `name=NAME,ip=ADDRESS,alias=NAME`.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{MacAddress, Network};
use crate::malformed::Malformed;
use crate::options::HostName;

/// What a container asks for in one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// `ip`
    pub address_v4: Option<Ipv4Addr>,
    /// `ip6`
    pub address_v6: Option<Ipv6Addr>,
    /// `alias`: other names by which containers of the network find it.
    pub aliases: Vec<HostName>,
    /// `mac`: the interface's address.
    pub mac_address: Option<MacAddress>,
}

/// One of the networks that a container is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOption {
    /// Which.
    pub network: Network,
    /// What is asked for in it.
    pub endpoint: Endpoint,
}

impl Endpoint {
    /// The first thing that is asked for, by its option of `launch run`.
    pub fn first_wish(&self) -> Option<&'static str> {
        let wishes = [
            ("--ip", self.address_v4.is_some()),
            ("--ip6", self.address_v6.is_some()),
            ("--network-alias", !self.aliases.is_empty()),
            ("--mac-address", self.mac_address.is_some()),
        ];
        let found = wishes.iter().find(|(_, is_asked)| *is_asked);
        found.map(|(option, _)| *option)
    }

    fn put(&mut self, key: &str, value: &str, text: &str) -> Result<(), Malformed> {
        let refuse = |reason: &str| Malformed::new("network", text, format!("{key}: {reason}"));
        let in_numbers = "an address in numbers is wanted";
        let is_again = match key {
            "ip" | "ip4" => {
                let address = value.parse().map_err(|_| refuse(in_numbers))?;
                self.address_v4.replace(address).is_some()
            }
            "ip6" => {
                let address = value.parse().map_err(|_| refuse(in_numbers))?;
                self.address_v6.replace(address).is_some()
            }
            "mac" | "mac-address" => self.mac_address.replace(value.parse()?).is_some(),
            "alias" => {
                self.aliases.push(value.parse()?);
                false
            }
            _ => return Err(refuse("`ip`, `ip6`, `alias` and `mac` are known")),
        };
        if is_again {
            return Err(refuse("it is said twice"));
        }
        Ok(())
    }
}

impl From<Network> for NetworkOption {
    fn from(network: Network) -> Self {
        Self {
            network,
            endpoint: Endpoint::default(),
        }
    }
}

impl FromStr for NetworkOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (network, wishes) = match text.strip_prefix("name=") {
            Some(rest) => rest.split_once(',').unwrap_or((rest, "")),
            None => match text.split_once(':') {
                // They have a colon of their own.
                Some(("container" | "ns", _)) | None => (text, ""),
                Some(parts) => parts,
            },
        };
        let mut option = Self::from(network.parse::<Network>()?);
        for wish in wishes.split(',').filter(|wish| !wish.is_empty()) {
            let Some((key, value)) = wish.split_once('=') else {
                return Err(Malformed::new("network", text, "KEY=VALUE is wanted"));
            };
            option.endpoint.put(key, value, text)?;
        }
        Ok(option)
    }
}

impl fmt::Display for NetworkOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = &self.endpoint;
        let mut wishes = Vec::new();
        wishes.extend(endpoint.address_v4.map(|address| format!("ip={address}")));
        wishes.extend(endpoint.address_v6.map(|address| format!("ip6={address}")));
        wishes.extend(endpoint.mac_address.map(|address| format!("mac={address}")));
        let aliases = endpoint.aliases.iter();
        wishes.extend(aliases.map(|name| format!("alias={}", name.as_str())));
        let before = if wishes.is_empty() { "" } else { ":" };
        write!(f, "{}{before}{}", self.network, wishes.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_podmans_or_dockers() {
        let text = "web:ip=10.0.0.9,ip6=fd00::9,mac=02:00:00:00:00:01,alias=www,alias=ftp";
        let option: NetworkOption = text.parse().unwrap();
        assert_eq!(option.network, Network::Named("web".parse().unwrap()));
        assert_eq!(option.endpoint.aliases.len(), 2);
        assert_eq!(option.to_string(), text);
        let docker =
            "name=web,ip=10.0.0.9,ip6=fd00::9,mac-address=02:00:00:00:00:01,alias=www,alias=ftp";
        assert_eq!(docker.parse(), Ok(option));
        for plain in ["host", "none", "bridge", "web"] {
            let option: NetworkOption = plain.parse().unwrap();
            assert_eq!(option.to_string(), plain);
            assert_eq!(option.endpoint.first_wish(), None);
        }
        let short: NetworkOption = "name=web".parse().unwrap();
        assert_eq!(short.to_string(), "web");
    }

    #[test]
    fn what_is_no_wish_is_refused() {
        for bad in [
            "",
            "container:a",
            "ns:/a",
            "a:ip",
            "a:ip=x",
            "a:ip=fd00::1",
            "a:ip=10.0.0.1,ip=10.0.0.2",
            "a:alias=-x",
            "a:mac=0",
            "a:colour=red",
            "slirp4netns:mtu=1",
            "name=",
            "nam=a,ip=10.0.0.1",
        ] {
            assert!(bad.parse::<NetworkOption>().is_err(), "{bad}");
        }
    }
}

//! What a network is: `NAME.toml` in `/etc/keelson/networks`, or in `/var/lib/keelson/networks`.
//!
//! ```toml
//! internal = false        # true: no way out of it
//! isolate = true          # no way to the machine's other networks of containers
//! dns = true              # its containers find each other by name
//! dns-servers = []        # who is asked for other names; the machine's servers if empty
//! mtu = 1500
//!
//! [[subnet]]              # one of IPv4, one of IPv6, or both
//! network = "10.89.0.0/24"
//! gateway = "10.89.0.1"   # the bridge's own; the first address if left out
//! range = "10.89.0.128/25" # what containers get that ask for none
//!
//! [labels]
//! owner = "web"
//! ```
//!
//! Everything but one subnet can be left out. An unknown key is an error with its line.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::identifier;
use super::subnet::Subnet;
use crate::name::Name;

/// The bridge's name begins with it.
const BRIDGE_PREFIX: &str = "kb-";

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDefinition {
    /// The file's.
    pub name: Name,
    /// All that the file says.
    pub settings: NetworkSettings,
}

/// What a network's file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkSettings {
    /// Nothing outside is reached, and reaches in.
    #[serde(default)]
    pub internal: bool,
    /// Other networks that are isolated too are not reached.
    #[serde(default = "yes")]
    pub isolate: bool,
    /// Its containers find each other by name.
    #[serde(default = "yes")]
    pub dns: bool,
    /// Who is asked for names that are no container's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<IpAddr>,
    /// Bytes in a packet; the kernel's choice if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Of IPv4, of IPv6, or one of each.
    #[serde(rename = "subnet")]
    pub subnets: Vec<Subnet>,
    /// Whatever somebody wants to know again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// Why a file is no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DefinitionError {
    /// It is not TOML of that form.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A subnet contradicts itself.
    #[error("subnet: {0}")]
    Subnet(String),
    /// Less than 68 bytes, which IPv4 wants, or more than the kernel takes.
    #[error("mtu: {0} is not from 68 to 65535")]
    Mtu(u32),
}

impl NetworkSettings {
    /// What a network has of which nothing but the subnets is said.
    pub fn new(subnets: Vec<Subnet>) -> Self {
        Self {
            internal: false,
            isolate: true,
            dns: true,
            dns_servers: Vec::new(),
            mtu: None,
            subnets,
            labels: BTreeMap::new(),
        }
    }

    /// What contradicts itself.
    pub fn check(&self) -> Result<(), DefinitionError> {
        let of_family = |is_v4: bool| {
            self.subnets
                .iter()
                .filter(|one| one.network.addr().is_ipv4() == is_v4)
                .count()
        };
        if self.subnets.is_empty() || of_family(true) > 1 || of_family(false) > 1 {
            let text = "one of IPv4, one of IPv6, or one of each is wanted";
            return Err(DefinitionError::Subnet(text.to_owned()));
        }
        for subnet in &self.subnets {
            subnet.check().map_err(DefinitionError::Subnet)?;
        }
        match self.mtu {
            Some(mtu) if !(68..=65535).contains(&mtu) => Err(DefinitionError::Mtu(mtu)),
            _ => Ok(()),
        }
    }
}

impl NetworkDefinition {
    /// Reads a file.
    pub fn parse(name: Name, text: &str) -> Result<Self, DefinitionError> {
        let settings: NetworkSettings = toml::from_str(text)?;
        settings.check()?;
        Ok(Self { name, settings })
    }

    /// Writes a file.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&self.settings)
    }

    /// 64 hexadecimal digits, as Docker's networks have.
    pub fn id(&self) -> String {
        super::id(&self.name)
    }

    /// The name of the bridge on the machine.
    pub fn bridge(&self) -> String {
        identifier::interface(BRIDGE_PREFIX, "network", self.name.as_str())
    }

    /// Who resolves names in it; nobody if it has no names.
    pub fn resolvers(&self) -> Vec<IpAddr> {
        let subnets = self.settings.subnets.iter().filter(|_| self.settings.dns);
        subnets.map(Subnet::gateway).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NetworkDefinition, DefinitionError> {
        NetworkDefinition::parse("web".parse().unwrap(), text)
    }

    #[test]
    fn the_page_above_is_a_network() {
        let page = include_str!("definition.rs");
        let lines = page
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1);
        let lines = lines
            .take_while(|line| *line != "//! ```")
            .map(|line| line.trim_start_matches("//!"));
        let text: Vec<&str> = lines.collect();
        let network = parse(&text.join("\n")).unwrap();
        assert_eq!(network.settings.labels["owner"], "web");
        assert_eq!(
            network.resolvers(),
            ["10.89.0.1".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(parse(&network.to_toml().unwrap()), Ok(network));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let network = parse("[[subnet]]\nnetwork = \"10.1.0.0/24\"\n").unwrap();
        let subnet = Subnet::new("10.1.0.0/24".parse::<ipnet::IpNet>().unwrap());
        assert_eq!(network.settings, NetworkSettings::new(vec![subnet]));
        assert_eq!(network.bridge().len(), 15);
        assert_eq!(network.id().len(), 64);
    }

    #[test]
    fn files_that_are_wrong_are_refused() {
        let two = "[[subnet]]\nnetwork = \"10.1.0.0/24\"\n[[subnet]]\nnetwork = \"10.2.0.0/24\"\n";
        for bad in [
            "",
            "subnet = []\n",
            "interal = true\n[[subnet]]\nnetwork = \"10.1.0.0/24\"\n",
            "[[subnet]]\nnetwork = \"10.1.0.0\"\n",
            "[[subnet]]\nnetwork = \"10.1.0.0/24\"\ngateway = \"10.2.0.1\"\n",
            "[[subnet]]\nnetwork = \"10.1.0.0/24\"\nrange = \"10.1.0.0/16\"\n",
            "mtu = 10\n[[subnet]]\nnetwork = \"10.1.0.0/24\"\n",
            two,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

//! Everything that a container is run with, as typed values.
//!
//! Reads no command line and no unit file: those who do give each option to the parser of its type.
//! What does not go together is found by [`ContainerOptions::check`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::capability::CapabilityOption;
use crate::command::Entrypoint;
use crate::device::DeviceOption;
use crate::environment::Variable;
use crate::host_entry::{HostAddress, HostEntry, is_host_name};
use crate::malformed::Malformed;
use crate::mount::Mount;
use crate::network::{MacAddress, Network};
use crate::port::PublishedPort;
use crate::resources::{MemorySize, Resources};
use crate::secret::SecretOption;
use crate::security::Security;
use crate::signal::Signal;
use crate::sysctl::Sysctl;
use crate::ulimit::Ulimit;
use crate::user::UserOption;

/// The options of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerOptions {
    /// What replaces the image's command.
    pub arguments: Vec<String>,
    /// `--entrypoint`
    pub entrypoint: Entrypoint,
    /// `--env-file` and `--env`, in the order in which they count.
    pub environment: Vec<Variable>,
    /// `--workdir`
    pub working_directory: Option<String>,
    /// `--user`; the image's if none.
    pub user: Option<UserOption>,
    /// `--group-add`
    pub groups: Vec<String>,
    /// `--volume`, `--mount` and `--tmpfs`.
    pub mounts: Vec<Mount>,
    /// `--network`
    pub network: Network,
    /// `--ip`
    pub address_v4: Option<Ipv4Addr>,
    /// `--ip6`
    pub address_v6: Option<Ipv6Addr>,
    /// `--network-alias`
    pub network_aliases: Vec<HostName>,
    /// `--mac-address`
    pub mac_address: Option<MacAddress>,
    /// `--publish`
    pub ports: Vec<PublishedPort>,
    /// `--hostname`
    pub host_name: Option<HostName>,
    /// `--add-host`
    pub hosts: Vec<HostEntry>,
    /// `--dns`
    pub dns_servers: Vec<IpAddr>,
    /// `--dns-search`
    pub dns_domains: Vec<String>,
    /// `--dns-option`
    pub dns_options: Vec<String>,
    /// `--label`
    pub labels: Vec<Label>,
    /// `--annotation`
    pub annotations: Vec<Label>,
    /// `--cap-add`
    pub added_capabilities: Vec<CapabilityOption>,
    /// `--cap-drop`
    pub dropped_capabilities: Vec<CapabilityOption>,
    /// `--privileged`: nothing is kept from it.
    pub privileged: bool,
    /// `--security-opt`
    pub security: Security,
    /// `--read-only`: the root cannot be written to.
    pub read_only: bool,
    /// `--ulimit`
    pub ulimits: Vec<Ulimit>,
    /// `--sysctl`
    pub sysctls: Vec<Sysctl>,
    /// `--device`
    pub devices: Vec<DeviceOption>,
    /// `--memory`, `--cpus`, `--pids-limit` and what belongs to them.
    pub resources: Resources,
    /// `--shm-size`; Docker's 64 MiB if none.
    pub shared_memory: Option<MemorySize>,
    /// `--init`: a small init reaps and forwards signals.
    pub init: bool,
    /// `--secret`
    pub secrets: Vec<SecretOption>,
    /// `--stop-signal`; the image's if none.
    pub stop_signal: Option<Signal>,
}

/// `NAME=VALUE`; without `=` the value is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Not empty.
    pub name: String,
    /// May be empty.
    pub value: String,
}

/// A host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

/// Options that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A part contradicts itself or the network.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Two mounts at one place.
    #[error("two mounts have the target `{0}`")]
    SameTarget(String),
    /// Ports of a network that has none to publish.
    #[error(
        "--publish needs a network of the container's own: with `host` every port is the machine's, with `none` there is nothing to reach"
    )]
    PublishWithoutNetwork,
    /// Something else of a network of the container's own.
    #[error("{0} needs a network of the container's own")]
    NoNetwork(&'static str),
    /// A gateway that there is not.
    #[error(
        "--add-host with `host-gateway` needs a network: with `none` there is nothing to reach"
    )]
    NoGateway,
}

impl Default for ContainerOptions {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            entrypoint: Entrypoint::Image,
            environment: Vec::new(),
            working_directory: None,
            user: None,
            groups: Vec::new(),
            mounts: Vec::new(),
            network: Network::Bridge,
            address_v4: None,
            address_v6: None,
            network_aliases: Vec::new(),
            mac_address: None,
            ports: Vec::new(),
            host_name: None,
            hosts: Vec::new(),
            dns_servers: Vec::new(),
            dns_domains: Vec::new(),
            dns_options: Vec::new(),
            labels: Vec::new(),
            annotations: Vec::new(),
            added_capabilities: Vec::new(),
            dropped_capabilities: Vec::new(),
            privileged: false,
            security: Security::default(),
            read_only: false,
            ulimits: Vec::new(),
            sysctls: Vec::new(),
            devices: Vec::new(),
            resources: Resources::default(),
            shared_memory: None,
            init: false,
            secrets: Vec::new(),
            stop_signal: None,
        }
    }
}

impl ContainerOptions {
    /// What does not go together, before anything is pulled.
    pub fn check(&self) -> Result<(), Contradiction> {
        self.resources.check()?;
        for sysctl in &self.sysctls {
            sysctl.check(&self.network)?;
        }
        self.check_network()?;
        let targets: Vec<&str> = self
            .mounts
            .iter()
            .map(|mount| mount.target.as_str())
            .collect();
        let again = |(at, target): (usize, &&str)| {
            targets[..at].contains(target).then(|| (*target).to_owned())
        };
        match targets.iter().enumerate().find_map(again) {
            Some(target) => Err(Contradiction::SameTarget(target)),
            None => Ok(()),
        }
    }
}

impl ContainerOptions {
    fn check_network(&self) -> Result<(), Contradiction> {
        let is_gateway = |entry: &HostEntry| entry.address == HostAddress::Gateway;
        if self.network == Network::None && self.hosts.iter().any(is_gateway) {
            return Err(Contradiction::NoGateway);
        }
        if !matches!(self.network, Network::Host | Network::None) {
            return Ok(());
        }
        if !self.ports.is_empty() {
            return Err(Contradiction::PublishWithoutNetwork);
        }
        let asked = [
            ("--ip", self.address_v4.is_some()),
            ("--ip6", self.address_v6.is_some()),
            ("--network-alias", !self.network_aliases.is_empty()),
            ("--mac-address", self.mac_address.is_some()),
        ];
        match asked.iter().find(|(_, is_asked)| *is_asked) {
            Some((option, _)) => Err(Contradiction::NoNetwork(option)),
            None => Ok(()),
        }
    }
}

impl FromStr for Label {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(Malformed::new("label", text, "NAME=VALUE is wanted"));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl HostName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() <= 64 && is_host_name(text) {
            return Ok(Self(text.to_owned()));
        }
        let reason = "labels of letters, digits and dashes are wanted, up to 64 bytes";
        Err(Malformed::new("host name", text, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_found() {
        let mut options = ContainerOptions::default();
        assert_eq!(options.check(), Ok(()));
        options.network = Network::Host;
        options.ports = crate::port::parse("80").unwrap();
        assert_eq!(options.check(), Err(Contradiction::PublishWithoutNetwork));
        options.ports.clear();
        options.mac_address = "02:00:00:00:00:01".parse().ok();
        assert_eq!(
            options.check(),
            Err(Contradiction::NoNetwork("--mac-address"))
        );
        options.mac_address = None;
        options.hosts = vec!["up:host-gateway".parse().unwrap()];
        assert_eq!(options.check(), Ok(()));
        options.network = Network::None;
        assert_eq!(options.check(), Err(Contradiction::NoGateway));
        options.hosts.clear();
        options.network = Network::Host;
        options.sysctls = vec!["net.core.somaxconn=1".parse().unwrap()];
        assert!(matches!(options.check(), Err(Contradiction::Malformed(_))));
        options.sysctls.clear();
        let mount = |text| crate::mount::parse_volume(text).unwrap();
        options.mounts = vec![mount("/a:/x"), mount("/b:/y"), mount("/c:/x/")];
        assert_eq!(
            options.check(),
            Err(Contradiction::SameTarget("/x".to_owned()))
        );
    }

    #[test]
    fn labels_and_host_names() {
        let label: Label = "a.b=c=d".parse().unwrap();
        assert_eq!((label.name.as_str(), label.value.as_str()), ("a.b", "c=d"));
        assert!("=a".parse::<Label>().is_err());
        assert_eq!("web-1.a".parse::<HostName>().unwrap().as_str(), "web-1.a");
        for bad in ["", "-a", "a..b", "a b", &"a".repeat(65)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }
}

//! Everything that a container is run with, as typed values.
//!
//! Reads no command line and no unit file: those who do give each option to the parser of its type.
//! What does not go together is found by [`ContainerOptions::check`].

use core::net::IpAddr;
use std::str::FromStr;

use crate::capability::CapabilityOption;
use crate::command::Entrypoint;
use crate::device::DeviceOption;
use crate::environment::Variable;
use crate::host_entry::{HostAddress, HostEntry, is_host_name};
use crate::malformed::Malformed;
use crate::mount::Mount;
use crate::name::Name;
use crate::network::{Endpoint, Network, NetworkOption};
use crate::port::PublishedPort;
use crate::resources::{MemorySize, Resources};
use crate::secret::SecretOption;
use crate::security::Security;
use crate::signal::Signal;
use crate::sysctl::Sysctl;
use crate::ulimit::Ulimit;
use crate::user::UserOption;
use crate::user_namespace::UserNamespace;

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
    /// `--network`, in their order; the default one if there is none.
    pub networks: Vec<NetworkOption>,
    /// `--ip`, `--ip6`, `--network-alias` and `--mac-address`: they are about the first network, as with Docker.
    pub first_endpoint: Endpoint,
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
    /// `--userns`
    pub user_namespace: UserNamespace,
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
    /// A network that is the only one a container can have, and another.
    #[error(
        "--network={0} and another network: a container is in `{0}` alone, or in networks of its own"
    )]
    NotAlone(String),
    /// One network, named twice.
    #[error("--network={0} is said twice")]
    SameNetwork(String),
    /// One wish, said in two ways.
    #[error("{0} and the same in --network: say it once")]
    SaidTwice(&'static str),
    /// Nothing is to be kept from it, and it is to have no rights on the machine.
    #[error(
        "--privileged and --userns=auto: with users of its own a container has no rights on the machine"
    )]
    PrivilegedUsers,
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
            networks: Vec::new(),
            first_endpoint: Endpoint::default(),
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
            user_namespace: UserNamespace::Host,
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
            sysctl.check(self.network())?;
        }
        self.check_network()?;
        if self.privileged && self.user_namespace == UserNamespace::Auto {
            return Err(Contradiction::PrivilegedUsers);
        }
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

/// Networks.
impl ContainerOptions {
    /// The first network, which decides what kind of network the container has.
    pub fn network(&self) -> &Network {
        let first = self.networks.first();
        first.map_or(&Network::Bridge, |first| &first.network)
    }

    /// All networks of the container's own, with what is asked for in each: none in the machine's network and in `none`.
    pub fn endpoints(&self) -> Vec<(Name, Endpoint)> {
        let default = NetworkOption::from(Network::Bridge);
        let all = if self.networks.is_empty() {
            std::slice::from_ref(&default)
        } else {
            &self.networks
        };
        let named = all.iter().enumerate().filter_map(|(at, option)| {
            let mut endpoint = option.endpoint.clone();
            if at == 0 {
                let more = &self.first_endpoint;
                endpoint.address_v4 = endpoint.address_v4.or(more.address_v4);
                endpoint.address_v6 = endpoint.address_v6.or(more.address_v6);
                endpoint.mac_address = endpoint.mac_address.or(more.mac_address);
                endpoint.aliases.extend(more.aliases.iter().cloned());
            }
            Some((option.network.name()?, endpoint))
        });
        named.collect()
    }

    fn check_network(&self) -> Result<(), Contradiction> {
        let is_gateway = |entry: &HostEntry| entry.address == HostAddress::Gateway;
        if *self.network() == Network::None && self.hosts.iter().any(is_gateway) {
            return Err(Contradiction::NoGateway);
        }
        self.check_endpoints()?;
        if matches!(self.network(), Network::Host | Network::None) && !self.ports.is_empty() {
            return Err(Contradiction::PublishWithoutNetwork);
        }
        Ok(())
    }

    fn check_endpoints(&self) -> Result<(), Contradiction> {
        for (at, option) in self.networks.iter().enumerate() {
            let network = &option.network;
            let is_own = network.name().is_some();
            if !is_own && self.networks.len() > 1 {
                return Err(Contradiction::NotAlone(network.to_string()));
            }
            if self.networks[..at]
                .iter()
                .any(|one| one.network == *network)
            {
                return Err(Contradiction::SameNetwork(network.to_string()));
            }
            if let Some(wish) = option.endpoint.first_wish().filter(|_| !is_own) {
                return Err(Contradiction::NoNetwork(wish));
            }
        }
        let Some(first) = self.networks.first() else {
            return Ok(());
        };
        let (one, other) = (&first.endpoint, &self.first_endpoint);
        let twice = [
            (
                "--ip",
                one.address_v4.is_some() && other.address_v4.is_some(),
            ),
            (
                "--ip6",
                one.address_v6.is_some() && other.address_v6.is_some(),
            ),
            (
                "--mac-address",
                one.mac_address.is_some() && other.mac_address.is_some(),
            ),
        ];
        if let Some((option, _)) = twice.iter().find(|(_, is_twice)| *is_twice) {
            return Err(Contradiction::SaidTwice(option));
        }
        match other
            .first_wish()
            .filter(|_| first.network.name().is_none())
        {
            Some(option) => Err(Contradiction::NoNetwork(option)),
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
        options.networks = vec![Network::Host.into()];
        options.ports = crate::port::parse("80").unwrap();
        assert_eq!(options.check(), Err(Contradiction::PublishWithoutNetwork));
        options.ports.clear();
        options.first_endpoint.mac_address = "02:00:00:00:00:01".parse().ok();
        assert_eq!(
            options.check(),
            Err(Contradiction::NoNetwork("--mac-address"))
        );
        options.first_endpoint.mac_address = None;
        options.hosts = vec!["up:host-gateway".parse().unwrap()];
        assert_eq!(options.check(), Ok(()));
        options.networks = vec![Network::None.into()];
        assert_eq!(options.check(), Err(Contradiction::NoGateway));
        options.hosts.clear();
        options.networks = vec![Network::Host.into()];
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
    fn several_networks_are_all_the_containers_own() {
        let of = |texts: &[&str]| ContainerOptions {
            networks: texts.iter().map(|text| text.parse().unwrap()).collect(),
            ..ContainerOptions::default()
        };
        let bridge = "bridge".parse().unwrap();
        assert_eq!(of(&[]).endpoints(), [(bridge, Endpoint::default())]);
        assert_eq!(of(&["host"]).endpoints(), []);
        let mut two = of(&["a:ip=10.0.0.9,alias=x", "b:alias=y"]);
        two.first_endpoint.aliases.push("z".parse().unwrap());
        assert_eq!(two.check(), Ok(()));
        let endpoints = two.endpoints();
        let aliases = |at: usize| -> Vec<&str> {
            let names = endpoints[at].1.aliases.iter();
            names.map(HostName::as_str).collect()
        };
        assert_eq!((aliases(0), aliases(1)), (vec!["x", "z"], vec!["y"]));
        two.first_endpoint.address_v4 = "10.0.0.8".parse().ok();
        assert_eq!(two.check(), Err(Contradiction::SaidTwice("--ip")));
        let not_alone = Contradiction::NotAlone("host".to_owned());
        assert_eq!(of(&["a", "host"]).check(), Err(not_alone));
        let same = Contradiction::SameNetwork("bridge".to_owned());
        assert_eq!(of(&["default", "bridge"]).check(), Err(same));
        let wish = Contradiction::NoNetwork("--ip");
        assert_eq!(of(&["none:ip=10.0.0.1"]).check(), Err(wish));
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

//! Services of what is asked for and of the ports that a container has.
//!
//! An option that cannot be met is an error, since somebody relies on it; registrator's variables mean published ports
//! only, and without such a port they mean nothing.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::asked::{Asked, Said};
use super::option::RegisterOption;
use crate::network::Network;
use crate::port::{HostPort, Protocol, PublishedPort};

/// Ports of one container that can be registered: with every layout, all their keys fit into one transaction.
const SERVICES_MAX: usize = 40;

/// Where a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// At the machine's address, which fleetd knows.
    Machine,
    /// At this one, where it was published alone.
    Given(IpAddr),
}

/// A service that a container offers at one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where.
    pub address: Address,
    /// There.
    pub port: u16,
    /// In the container.
    pub container_port: u16,
    /// Over what.
    pub protocol: Protocol,
    /// For whoever chooses one of several.
    pub tags: Vec<String>,
    /// Registrator's `SERVICE_ID`, instead of a name made of machine, container and port.
    pub id: Option<String>,
    /// Registrator's other variables.
    pub attributes: BTreeMap<String, String>,
}

/// Why a container cannot be registered as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistrationError {
    /// Nobody reaches it.
    #[error(
        "the service {0} cannot be reached: --network=none; leave --register away, or choose a network"
    )]
    NoNetwork(String),
    /// A port that is the container's own.
    #[error(
        "the service {name} cannot be reached from other machines: publish its port by --publish={port}:{port}"
    )]
    NotPublished {
        /// The service's.
        name: String,
        /// In the container.
        port: u16,
    },
    /// None at all.
    #[error(
        "the service {0} has no port: use --publish, --register with port=…, or an image with EXPOSE if internal = true"
    )]
    NoPort(String),
    /// Which of the machine's ports it is has to be said.
    #[error(
        "the service {0} is in the machine's network, and its image exposes no port: say it, as name={0},port=80"
    )]
    WhichPort(String),
    /// Published where others do not come.
    #[error(
        "the service {name} is published at {address} alone, which other machines do not reach"
    )]
    Loopback {
        /// The service's.
        name: String,
        /// Where.
        address: IpAddr,
    },
    /// Two of the same.
    #[error("the service {name} is asked for twice at port {port}")]
    Twice {
        /// The service's.
        name: String,
        /// In the container.
        port: u16,
    },
    /// They would not fit into one transaction.
    #[error("{0} services of one container are too many: {SERVICES_MAX} can be registered at once")]
    TooMany(usize),
}

/// The network that a container is in, and the ports of the machine that lead to it. Before it has them,
/// [`HostPort::Any`] stands for a number that is not known yet.
#[derive(Debug, Clone, Copy)]
pub struct ContainerPorts<'a> {
    /// `--network`
    pub network: &'a Network,
    /// `--publish`
    pub published: &'a [PublishedPort],
    /// What the image exposes; none as long as the image is not known.
    pub exposed: Option<&'a [(u16, Protocol)]>,
    /// By which address a container in a network of its own is reached.
    pub reach: Reach,
}

/// Whose address a container's ports are reached at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The machine's, where they are published.
    Machine,
    /// Its own in its first network, once it has one: registrator's `-internal`.
    Container(Option<IpAddr>),
}

impl ContainerPorts<'_> {
    /// Ports that can be registered without being named, each with where it is reached. As registrator has it, what an
    /// image exposes counts where it can be reached: in the machine's network, and at the container's own address.
    fn offered(&self) -> Vec<PublishedPort> {
        let exposed = self.exposed.unwrap_or_default().iter();
        let own = |address: Option<IpAddr>| {
            move |(port, protocol): (u16, Protocol)| PublishedPort {
                address,
                host: HostPort::Given(port),
                container: port,
                protocol,
            }
        };
        match (self.network, self.reach) {
            (Network::None, _) => Vec::new(),
            (Network::Host, _) => exposed.copied().map(own(None)).collect(),
            (_, Reach::Machine) => self.published.to_vec(),
            (_, Reach::Container(address)) => {
                let published = self.published.iter();
                let published = published.map(|port| (port.container, port.protocol));
                let mut all: Vec<(u16, Protocol)> = Vec::new();
                for port in published.chain(exposed.copied()) {
                    if !all.contains(&port) {
                        all.push(port);
                    }
                }
                all.into_iter().map(own(address)).collect()
            }
        }
    }

    /// Whether a port that is named needs nothing else to be reached, and at which address it is.
    fn own_address(&self) -> Option<Address> {
        match (self.network, self.reach) {
            (Network::Host, _) => Some(Address::Machine),
            (Network::None, _) | (_, Reach::Machine) => None,
            (_, Reach::Container(address)) => {
                Some(address.map_or(Address::Machine, Address::Given))
            }
        }
    }
}

/// The services of a container.
///
/// # Errors
/// If what is asked for cannot be had.
pub fn services(
    asked: &Asked,
    ports: ContainerPorts<'_>,
) -> Result<Vec<Service>, RegistrationError> {
    let mut all: Vec<Service> = Vec::new();
    let offered = ports.offered();
    for option in &asked.options {
        all.extend(of_option(option, ports, &offered)?);
    }
    if let Some(variables) = &asked.variables {
        let is_one_of_several = offered.len() > 1;
        for port in offered.iter().filter(|port| !is_loopback(port)) {
            let said = variables.of_port(port.container, is_one_of_several);
            let service = said.map(|said| of_variables(said, port));
            // What an option says, too, is said once.
            let is_new = |service: &Service| !all.iter().any(|one| is_same(one, service));
            if let Some(service) = service.filter(is_new) {
                all.push(service);
            }
        }
    }
    for (at, service) in all.iter().enumerate() {
        let is_again = all[..at].iter().any(|one| is_same(one, service));
        // Numbers that are not known yet are all 0.
        if service.port != 0 && is_again {
            return Err(RegistrationError::Twice {
                name: service.name.clone(),
                port: service.container_port,
            });
        }
    }
    if all.len() > SERVICES_MAX {
        return Err(RegistrationError::TooMany(all.len()));
    }
    Ok(all)
}

/// Whether one key would stand for both.
fn is_same(one: &Service, other: &Service) -> bool {
    let place = |service: &Service| (service.address, service.port, service.container_port);
    (&one.name, one.protocol) == (&other.name, other.protocol) && place(one) == place(other)
}

fn of_option(
    option: &RegisterOption,
    ports: ContainerPorts<'_>,
    offered: &[PublishedPort],
) -> Result<Vec<Service>, RegistrationError> {
    let name = option.name.clone();
    match (ports.network, option.port, ports.own_address()) {
        (Network::None, _, _) => Err(RegistrationError::NoNetwork(name)),
        (_, Some((port, protocol)), Some(address)) => {
            Ok(vec![named(option, name, address, port, port, protocol)])
        }
        // The image may have some.
        (_, None, Some(_)) if offered.is_empty() && ports.exposed.is_none() => Ok(Vec::new()),
        (Network::Host, None, _) if offered.is_empty() => Err(RegistrationError::WhichPort(name)),
        (_, wanted, _) => {
            let is_wanted = |port: &&PublishedPort| {
                wanted.is_none_or(|wanted| wanted == (port.container, port.protocol))
            };
            let found: Vec<&PublishedPort> = offered.iter().filter(is_wanted).collect();
            if found.is_empty() {
                return Err(match wanted {
                    Some((port, _)) => RegistrationError::NotPublished { name, port },
                    None => RegistrationError::NoPort(name),
                });
            }
            found
                .iter()
                .map(|port| of_published(option, port, found.len() > 1 && wanted.is_none()))
                .collect()
        }
    }
}

fn of_published(
    option: &RegisterOption,
    port: &PublishedPort,
    is_one_of_several: bool,
) -> Result<Service, RegistrationError> {
    // As registrator names them.
    let name = if is_one_of_several {
        format!("{}-{}", option.name, port.container)
    } else {
        option.name.clone()
    };
    if let (true, Some(address)) = (is_loopback(port), port.address) {
        return Err(RegistrationError::Loopback { name, address });
    }
    let address = address(port);
    Ok(named(
        option,
        name,
        address,
        number(port.host),
        port.container,
        port.protocol,
    ))
}

fn named(
    option: &RegisterOption,
    name: String,
    address: Address,
    port: u16,
    container_port: u16,
    protocol: Protocol,
) -> Service {
    Service {
        name,
        address,
        port,
        container_port,
        protocol,
        tags: option.tags.clone(),
        id: None,
        attributes: BTreeMap::new(),
    }
}

fn of_variables(said: Said, port: &PublishedPort) -> Service {
    Service {
        name: said.name,
        address: address(port),
        port: number(port.host),
        container_port: port.container,
        protocol: port.protocol,
        tags: said.tags,
        id: said.id,
        attributes: said.attributes,
    }
}

fn number(port: HostPort) -> u16 {
    match port {
        HostPort::Given(number) => number,
        HostPort::Any => 0,
    }
}

fn address(port: &PublishedPort) -> Address {
    match port.address {
        Some(address) if !address.is_unspecified() => Address::Given(address),
        _ => Address::Machine,
    }
}

fn is_loopback(port: &PublishedPort) -> bool {
    port.address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(text: &[&str]) -> Vec<PublishedPort> {
        let parse = |text: &&str| crate::port::parse(text).unwrap();
        text.iter().flat_map(parse).collect()
    }

    fn made(
        network: &Network,
        ports: &[&str],
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Vec<Service>, RegistrationError> {
        let options: Vec<RegisterOption> =
            options.iter().map(|text| text.parse().unwrap()).collect();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let asked = Asked::new(&options, &[], &variables, true).unwrap();
        let published = published(ports);
        let ports = ContainerPorts {
            network,
            published: &published,
            exposed: Some(&[]),
            reach: Reach::Machine,
        };
        services(&asked, ports)
    }

    #[test]
    fn what_an_image_exposes_is_registered_where_it_is_reached() {
        let exposed = [(80, Protocol::Tcp), (53, Protocol::Udp)];
        let published = published(&["8080:80"]);
        let made = |network: &Network, reach, exposed, option: &str| {
            let variables = [("SERVICE_NAME".to_owned(), "web".to_owned())];
            let option: Vec<RegisterOption> = option.parse().into_iter().collect();
            let variables = if option.is_empty() {
                &variables[..]
            } else {
                &[]
            };
            let asked = Asked::new(&option, &[], variables, true).unwrap();
            let ports = ContainerPorts {
                network,
                published: if *network == Network::Host {
                    &[]
                } else {
                    &published
                },
                exposed,
                reach,
            };
            services(&asked, ports)
        };
        let (host, bridge) = (&Network::Host, &Network::Bridge);
        let own = Reach::Container("10.88.0.2".parse().ok());
        let both = ["web-80@machine:80->80/tcp", "web-53@machine:53->53/udp"];
        let inside = ["web-80@10.88.0.2:80->80/tcp", "web-53@10.88.0.2:53->53/udp"];
        for option in ["", "name=web"] {
            let of = |network, reach| told(made(network, reach, Some(&exposed[..]), option));
            assert_eq!(of(host, Reach::Machine), both);
            assert_eq!(of(bridge, Reach::Machine), ["web@machine:8080->80/tcp"]);
            assert_eq!(of(bridge, own), inside);
            // As long as the image is not known nothing is wrong.
            assert_eq!(told(made(host, Reach::Machine, None, option)), [""; 0]);
        }
        let any = told(made(bridge, own, Some(&[]), "name=w,port=9"));
        assert_eq!(any, ["w@10.88.0.2:9->9/tcp"], "nobody has to expose it");
        let none = made(host, Reach::Machine, Some(&[]), "name=w").unwrap_err();
        assert!(none.to_string().contains("exposes no port"), "{none}");
    }

    fn told(made: Result<Vec<Service>, RegistrationError>) -> Vec<String> {
        let tell = |one: &Service| {
            let address = match one.address {
                Address::Machine => "machine".to_owned(),
                Address::Given(address) => address.to_string(),
            };
            format!(
                "{}@{address}:{}->{}/{}",
                one.name, one.port, one.container_port, one.protocol
            )
        };
        made.unwrap().iter().map(tell).collect()
    }

    #[test]
    fn options_take_published_ports() {
        let bridge = &Network::Bridge;
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (&["8080:80"], &["name=web"], &["web@machine:8080->80/tcp"]),
            (
                &["8080:80", "53:53/udp"],
                &["name=web"],
                &["web-80@machine:8080->80/tcp", "web-53@machine:53->53/udp"],
            ),
            (
                &["8080:80", "53:53/udp"],
                &["name=web,port=80", "name=dns,port=53/udp"],
                &["web@machine:8080->80/tcp", "dns@machine:53->53/udp"],
            ),
            (
                &["10.0.0.1:1:80", "10.0.0.2:2:80"],
                &["name=web,port=80"],
                &["web@10.0.0.1:1->80/tcp", "web@10.0.0.2:2->80/tcp"],
            ),
            (&["0.0.0.0:1:80"], &["name=w"], &["w@machine:1->80/tcp"]),
            (&["80"], &["name=w"], &["w@machine:0->80/tcp"]),
        ];
        for (ports, options, expected) in cases {
            assert_eq!(
                told(made(bridge, ports, options, &[])),
                *expected,
                "{ports:?}"
            );
        }
        let host = told(made(&Network::Host, &[], &["name=w,port=9/udp"], &[]));
        assert_eq!(host, ["w@machine:9->9/udp"]);
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        let bridge = &Network::Bridge;
        let cases = [
            (
                made(&Network::None, &[], &["name=w,port=1"], &[]),
                "--network=none",
            ),
            (
                made(&Network::Host, &[], &["name=w"], &[]),
                "name=w,port=80",
            ),
            (made(bridge, &[], &["name=w"], &[]), "has no port"),
            (
                made(bridge, &["1:80"], &["name=w,port=81"], &[]),
                "--publish=81:81",
            ),
            (
                made(bridge, &["1:80/udp"], &["name=w,port=80"], &[]),
                "--publish=80:80",
            ),
            (
                made(bridge, &["127.0.0.1:1:80"], &["name=w"], &[]),
                "at 127.0.0.1 alone",
            ),
            (
                made(bridge, &["1:80"], &["name=w", "name=w,port=80"], &[]),
                "asked for twice",
            ),
            (made(bridge, &["1-41:1-41"], &["name=w"], &[]), "too many"),
        ];
        for (made, expected) in cases {
            let error = made.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(
            made(bridge, &["1-40:1-40"], &["name=w"], &[])
                .unwrap()
                .len(),
            40
        );
    }

    #[test]
    fn variables_take_published_ports_that_there_are() {
        let bridge = &Network::Bridge;
        let name = &[
            ("SERVICE_NAME", "web"),
            ("SERVICE_TAGS", "a,b"),
            ("SERVICE_X", "y"),
        ];
        assert_eq!(told(made(bridge, &[], &[], name)), [""; 0]);
        assert_eq!(told(made(&Network::None, &[], &[], name)), [""; 0]);
        assert_eq!(told(made(bridge, &["127.0.0.1:1:80"], &[], name)), [""; 0]);
        let one = made(bridge, &["8080:80"], &[], name).unwrap();
        assert_eq!(one[0].tags, ["a", "b"]);
        assert_eq!(one[0].attributes["x"], "y");
        assert_eq!(told(Ok(one)), ["web@machine:8080->80/tcp"]);
        let two = told(made(bridge, &["1:80", "2:443"], &[], name));
        assert_eq!(
            two,
            ["web-80@machine:1->80/tcp", "web-443@machine:2->443/tcp"]
        );
    }
}

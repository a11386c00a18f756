//! All that is done with networks: made, listed, removed, and containers put into them.
//!
//! Everything that changes something holds one lock of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use container_model::name::Name;
use container_model::network::{
    BRIDGE, BoundPort, Connection, Endpoint, Network, NetworkDefinition, NetworkSettings, Subnet,
    allocate, choose_v4, choose_v6,
};
use container_model::port::{HostPort, PublishedPort};
use ipnet::IpNet;
use rustix::fs::{FlockOperation, flock};

use crate::claim::{self, Claim};
use crate::error::Error;
use crate::netavark::{self, Action};
use crate::{connections, definitions, disconnect, file, namespace, routes};

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// An administrator's networks.
    pub configured: PathBuf,
    /// Networks that commands made.
    pub made: PathBuf,
    /// What is set up, until the machine restarts.
    pub run: PathBuf,
}

impl Default for Folders {
    fn default() -> Self {
        Self {
            configured: "/etc/keelson/networks".into(),
            made: "/var/lib/keelson/networks".into(),
            run: "/run/keelson/networks".into(),
        }
    }
}

/// The networks of a machine.
#[derive(Debug, Clone, Default)]
pub struct Networks {
    folders: Folders,
}

/// A network that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its name.
    pub name: Name,
    /// The rest. One subnet of IPv4 is chosen if it has none.
    pub settings: NetworkSettings,
    /// Whether one of IPv6 is chosen, too, if it has none.
    pub with_v6: bool,
}

/// A container that is to be put into networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Its name. Whoever asks holds it, so that no other container has it.
    pub container: Name,
    /// Its unit, if it has one.
    pub unit: Option<String>,
    /// Which networks, each once, with what is asked for in each. There is at least one.
    pub endpoints: Vec<(Name, Endpoint)>,
    /// What of the machine leads to it, by its first network.
    pub ports: Vec<PublishedPort>,
    /// Who is asked for names that are no container's.
    pub dns_servers: Vec<IpAddr>,
}

/// A container's namespace, set up. It and the ports are there as long as this, or a copy of its descriptors, is.
#[derive(Debug)]
pub struct Attachment {
    connections: Vec<Connection>,
    namespace: File,
    claims: Vec<Claim>,
}

impl Attachment {
    /// What was set up, the first network first.
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// By which path a runtime finds the namespace while this process holds it.
    pub fn namespace_path(&self) -> String {
        namespace::path(&self.namespace)
    }

    /// What whoever watches the container has to hold.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let claims = self.claims.iter().flat_map(Claim::descriptors);
        std::iter::once(self.namespace.as_fd()).chain(claims)
    }
}

/// Nobody else changes anything while it is there.
struct Lock(#[allow(dead_code, reason = "held, not read")] File);

impl Networks {
    /// Those of other folders than the machine's.
    pub fn in_folders(folders: Folders) -> Self {
        Self { folders }
    }

    fn lock(&self) -> Result<Lock, Error> {
        let run = &self.folders.run;
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.connections_folder());
        made.map_err(Error::io(run))?;
        let path = run.join("lock");
        let file = File::create(&path).map_err(Error::io(&path))?;
        let locked = flock(&file, FlockOperation::LockExclusive);
        locked.map_err(|error| Error::io(&path)(error.into()))?;
        Ok(Lock(file))
    }

    fn connections_folder(&self) -> PathBuf {
        self.folders.run.join("containers")
    }

    /// All networks, by name. The default one is there once it was used.
    pub fn list(&self) -> Result<BTreeMap<Name, NetworkDefinition>, Error> {
        definitions::all([&self.folders.configured, &self.folders.made])
    }

    /// One of them.
    pub fn find(&self, name: &Name) -> Result<NetworkDefinition, Error> {
        let found = self.list()?.remove(name);
        found.ok_or_else(|| Error::Unknown(name.clone()))
    }

    /// Every container in every network that it is in.
    pub fn connections(&self) -> Result<Vec<Connection>, Error> {
        connections::all(&self.connections_folder())
    }

    /// Makes a network.
    pub fn create(&self, new: NewNetwork) -> Result<NetworkDefinition, Error> {
        if Network::is_reserved(&new.name) {
            return Err(Error::Reserved(new.name));
        }
        let _lock = self.lock()?;
        self.create_locked(new)
    }

    fn create_locked(&self, new: NewNetwork) -> Result<NetworkDefinition, Error> {
        let NewNetwork {
            name,
            mut settings,
            with_v6,
        } = new;
        let others = self.list()?;
        if others.contains_key(&name) {
            return Err(Error::Exists(name));
        }
        let taken = taken(&others);
        for subnet in &settings.subnets {
            check_free(subnet.network, &taken)?;
        }
        add_subnets(&name, &mut settings, with_v6, &taken)?;
        let checked = settings.check();
        checked.map_err(|reason| Error::Impossible {
            name: name.clone(),
            reason: Box::new(reason),
        })?;
        let network = NetworkDefinition { name, settings };
        let folder = &self.folders.made;
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = definitions::path(folder, &network.name);
        let text = network.to_toml();
        let text = text.map_err(|error| Error::io(&path)(std::io::Error::other(error)))?;
        file::replace(&path, &text)?;
        Ok(network)
    }

    /// Removes a network that no container is in.
    pub fn remove(&self, name: &Name) -> Result<(), Error> {
        if name.as_str() == BRIDGE {
            return Err(Error::Default);
        }
        let _lock = self.lock()?;
        self.find(name)?;
        let configured = definitions::path(&self.folders.configured, name);
        if configured.exists() {
            return Err(Error::Configured {
                name: name.clone(),
                path: configured,
            });
        }
        let connections = self.connections()?;
        let containers = connections.iter().filter(|one| one.network.name == *name);
        let containers: Vec<&str> = containers.map(|one| one.container.as_str()).collect();
        if !containers.is_empty() {
            return Err(Error::InUse {
                network: name.clone(),
                containers: containers.join(", "),
            });
        }
        file::remove(&definitions::path(&self.folders.made, name))
    }

    /// Removes all that commands made and no container is in; their names.
    pub fn prune(&self) -> Result<Vec<Name>, Error> {
        let mut removed = Vec::new();
        for (name, _) in self.list()? {
            match self.remove(&name) {
                Ok(()) => removed.push(name),
                Err(Error::InUse { .. } | Error::Configured { .. } | Error::Default) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Puts a container into networks, in a namespace that is made for it, or in one that is empty. What a container of
    /// that name left is taken down before.
    pub fn connect(
        &self,
        request: &ConnectRequest,
        namespace: Option<File>,
    ) -> Result<Attachment, Error> {
        let _lock = self.lock()?;
        self.disconnect_locked(&request.container)?;
        let others = self.connections()?;
        let mut connections = self.planned(request, &others)?;
        let mut claims = Vec::new();
        if let Some(first) = connections.first_mut() {
            (first.ports, claims) = claim_all(&first.network, &request.ports, &others)?;
        }
        let namespace = match namespace {
            Some(namespace) => namespace,
            None => namespace::create()?,
        };
        connections::write(&self.connections_folder(), &request.container, &connections)?;
        let path = namespace::path(&namespace);
        let set_up =
            |one: &Connection| netavark::run(Action::Setup, &path, one, &self.netavark_folder());
        if let Err(error) = connections.iter().try_for_each(set_up) {
            // It is what failed that is told; whoever comes next tries again.
            let _removed = self.disconnect_locked(&request.container);
            return Err(error);
        }
        Ok(Attachment {
            connections,
            namespace,
            claims,
        })
    }

    /// What is to be set up, without ports.
    fn planned(
        &self,
        request: &ConnectRequest,
        others: &[Connection],
    ) -> Result<Vec<Connection>, Error> {
        let one = |(number, (name, endpoint)): (u16, &(Name, Endpoint))| {
            let network = self.for_container(name)?;
            let aliases = endpoint.aliases.iter();
            Ok(Connection {
                container: request.container.clone(),
                unit: request.unit.clone(),
                addresses: addresses(&network, endpoint, others)?,
                network,
                number,
                aliases: aliases.map(|name| name.as_str().to_owned()).collect(),
                mac_address: endpoint.mac_address,
                ports: Vec::new(),
                dns_servers: request.dns_servers.clone(),
            })
        };
        (0..).zip(&request.endpoints).map(one).collect()
    }

    /// Puts a container that runs into another network. `namespace` is where its interfaces are.
    pub fn join(
        &self,
        container: &Name,
        network: &Name,
        endpoint: &Endpoint,
        namespace: &Path,
    ) -> Result<Connection, Error> {
        let _lock = self.lock()?;
        let all = self.connections()?;
        let (mut own, others): (Vec<Connection>, Vec<Connection>) =
            all.into_iter().partition(|one| one.container == *container);
        let Some(first) = own.first() else {
            return Err(Error::NotConnected(container.clone()));
        };
        if own.iter().any(|one| one.network.name == *network) {
            return Err(Error::ConnectedAlready {
                container: container.clone(),
                network: network.clone(),
            });
        }
        let request = ConnectRequest {
            container: container.clone(),
            unit: first.unit.clone(),
            endpoints: vec![(network.clone(), endpoint.clone())],
            ports: Vec::new(),
            dns_servers: first.dns_servers.clone(),
        };
        let mut joined = self.planned(&request, &others)?.remove(0);
        let is_free = |number: &u16| own.iter().all(|one| one.number != *number);
        joined.number = (0..u16::MAX).find(is_free).unwrap_or(u16::MAX);
        own.push(joined.clone());
        let folder = self.connections_folder();
        connections::write(&folder, container, &own)?;
        let path = namespace.to_string_lossy();
        let set_up = netavark::run(Action::Setup, &path, &joined, &self.netavark_folder());
        if let Err(error) = set_up {
            let _removed = self.leave_locked(&joined);
            return Err(error);
        }
        Ok(joined)
    }

    /// Takes a container that runs out of one of its networks. Its published ports stay: the network that they lead
    /// through is not left.
    pub fn leave(&self, container: &Name, network: &Name) -> Result<(), Error> {
        let _lock = self.lock()?;
        let all = self.connections()?;
        let is_it = |one: &&Connection| one.container == *container && one.network.name == *network;
        let Some(connection) = all.iter().find(is_it) else {
            return Err(Error::NotInNetwork {
                container: container.clone(),
                network: network.clone(),
            });
        };
        if !connection.ports.is_empty() {
            return Err(Error::Publishes {
                container: container.clone(),
                network: network.clone(),
            });
        }
        if all.iter().filter(|one| one.container == *container).count() == 1 {
            // Its file would be gone, and with it what says that it may join others.
            return Err(Error::Last {
                container: container.clone(),
                network: network.clone(),
            });
        }
        self.leave_locked(connection)
    }

    fn leave_locked(&self, connection: &Connection) -> Result<(), Error> {
        let all = self.connections()?;
        self.take_down(connection, &all)?;
        let mut own: Vec<Connection> = all;
        own.retain(|one| one.container == connection.container && one != connection);
        connections::write(&self.connections_folder(), &connection.container, &own)
    }

    /// Takes one of all connections down.
    fn take_down(&self, connection: &Connection, all: &[Connection]) -> Result<(), Error> {
        let in_network = all
            .iter()
            .filter(|one| one.network.name == connection.network.name);
        let is_last = in_network.count() == 1;
        disconnect::take_down(connection, is_last, &self.netavark_folder())
    }

    fn netavark_folder(&self) -> PathBuf {
        self.folders.run.join("netavark")
    }

    /// The default network is made when it is first used.
    fn for_container(&self, name: &Name) -> Result<NetworkDefinition, Error> {
        match self.find(name) {
            Err(Error::Unknown(_)) if name.as_str() == BRIDGE => {
                let mut settings = NetworkSettings::new(Vec::new());
                // As with Docker: names are for networks that somebody made.
                settings.dns = false;
                self.create_locked(NewNetwork {
                    name: name.clone(),
                    settings,
                    with_v6: false,
                })
            }
            other => other,
        }
    }

    /// Takes down whatever was set up for a container; that there is nothing is no error.
    pub fn disconnect(&self, container: &Name) -> Result<(), Error> {
        // Whoever has the container's name alone writes its file.
        if !connections::exists(&self.connections_folder(), container) {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.disconnect_locked(container)
    }

    fn disconnect_locked(&self, container: &Name) -> Result<(), Error> {
        let all = self.connections()?;
        let own: Vec<&Connection> = all
            .iter()
            .filter(|one| one.container == *container)
            .collect();
        if own.is_empty() {
            return Ok(());
        }
        // Last in, first out: the first network has the way out and the ports.
        for connection in own.iter().rev() {
            self.take_down(connection, &all)?;
        }
        connections::remove(&self.connections_folder(), container)?;
        if all.len() == own.len() {
            disconnect::remove_rules()?;
        }
        Ok(())
    }
}

/// Subnets that nobody may have again, each with whose it is.
fn taken(networks: &BTreeMap<Name, NetworkDefinition>) -> Vec<(IpNet, String)> {
    let of_networks = networks.values().flat_map(|network| {
        let subnets = network.settings.subnets.iter();
        subnets.map(|subnet| (subnet.network, format!("the network {}", network.name)))
    });
    let of_the_machine = routes::of_the_machine().into_iter();
    let of_the_machine = of_the_machine.map(|net| (net, "a route of the machine".to_owned()));
    of_networks.chain(of_the_machine).collect()
}

fn check_free(subnet: IpNet, taken: &[(IpNet, String)]) -> Result<(), Error> {
    let overlaps = |other: &IpNet| other.contains(&subnet) || subnet.contains(other);
    match taken.iter().find(|(other, _)| overlaps(other)) {
        Some((other, owner)) => Err(Error::Overlap {
            subnet,
            other: *other,
            owner: owner.clone(),
        }),
        None => Ok(()),
    }
}

/// Chooses what was not asked for.
fn add_subnets(
    name: &Name,
    settings: &mut NetworkSettings,
    with_v6: bool,
    taken: &[(IpNet, String)],
) -> Result<(), Error> {
    let taken: Vec<IpNet> = taken.iter().map(|(net, _)| *net).collect();
    let has = |is_v4: bool| {
        settings
            .subnets
            .iter()
            .any(|one| one.network.addr().is_ipv4() == is_v4)
    };
    let (has_v4, has_v6) = (has(true), has(false));
    if !has_v4 {
        let chosen = choose_v4(name.as_str() == BRIDGE, &taken).ok_or(Error::NoSubnet)?;
        settings.subnets.insert(0, Subnet::new(chosen));
    }
    if with_v6 && !has_v6 {
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let chosen = choose_v6(&format!("{}/{name}", machine.trim()), &taken);
        settings
            .subnets
            .push(Subnet::new(chosen.ok_or(Error::NoSubnet)?));
    }
    Ok(())
}

/// One address for each subnet.
fn addresses(
    network: &NetworkDefinition,
    endpoint: &Endpoint,
    others: &[Connection],
) -> Result<Vec<IpAddr>, Error> {
    let of_network = others.iter().filter(|one| one.network.name == network.name);
    let used: BTreeSet<IpAddr> = of_network.flat_map(|one| one.addresses.clone()).collect();
    let subnets = &network.settings.subnets;
    let asked = [
        endpoint.address_v4.map(IpAddr::V4),
        endpoint.address_v6.map(IpAddr::V6),
    ];
    for address in asked.into_iter().flatten() {
        if !subnets
            .iter()
            .any(|one| one.network.addr().is_ipv4() == address.is_ipv4())
        {
            return Err(Error::NoSuchFamily {
                network: network.name.clone(),
                address,
            });
        }
    }
    let one = |subnet: &Subnet| {
        let asked = asked[usize::from(!subnet.network.addr().is_ipv4())];
        allocate(subnet, asked, &used).map_err(|reason| Error::Address {
            network: network.name.clone(),
            reason,
        })
    };
    subnets.iter().map(one).collect()
}

/// Takes all ports, or none.
fn claim_all(
    network: &NetworkDefinition,
    ports: &[PublishedPort],
    others: &[Connection],
) -> Result<(Vec<BoundPort>, Vec<Claim>), Error> {
    let has_v6 = network
        .settings
        .subnets
        .iter()
        .any(|one| one.network.addr().is_ipv6());
    let (mut bound, mut claims) = (Vec::new(), Vec::new());
    for port in ports {
        if let HostPort::Given(host) = port.host {
            let wanted = BoundPort {
                address: port.address,
                host,
                container: port.container,
                protocol: port.protocol,
            };
            if let Some(other) = others.iter().find(|one| one.conflict(&wanted).is_some()) {
                return Err(Error::PortInUse {
                    port: wanted,
                    owner: Some(format!("the container {}", other.container)),
                });
            }
        }
        let (port, claim) = claim::take(port, has_v6)?;
        bound.push(port);
        claims.push(claim);
    }
    Ok((bound, claims))
}

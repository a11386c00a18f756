//! All that is done with networks: made, listed, removed, and containers put into them.
//!
//! Everything that changes something holds one lock of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use container_model::name::Name;
use container_model::network::{
    BRIDGE, BoundPort, Connection, MacAddress, Network, NetworkDefinition, NetworkSettings, Subnet,
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

/// A container that is to be put into a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Its name. Whoever asks holds it, so that no other container has it.
    pub container: Name,
    /// Its unit, if it has one.
    pub unit: Option<String>,
    /// Which network.
    pub network: Name,
    /// An address of its own choice.
    pub address_v4: Option<Ipv4Addr>,
    /// Another.
    pub address_v6: Option<Ipv6Addr>,
    /// Names beside its own.
    pub aliases: Vec<String>,
    /// The interface's.
    pub mac_address: Option<MacAddress>,
    /// What of the machine leads to it.
    pub ports: Vec<PublishedPort>,
    /// Who is asked for names that are no container's.
    pub dns_servers: Vec<IpAddr>,
}

/// A container's namespace, set up. It and the ports are there as long as this, or a copy of its descriptors, is.
#[derive(Debug)]
pub struct Attachment {
    connection: Connection,
    namespace: File,
    claims: Vec<Claim>,
}

impl Attachment {
    /// What was set up.
    pub fn connection(&self) -> &Connection {
        &self.connection
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

    /// Every container in a network.
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

    /// Puts a container into a network, in a namespace that is made for it. What a container of that name left is
    /// taken down before.
    pub fn connect(&self, request: &ConnectRequest) -> Result<Attachment, Error> {
        let _lock = self.lock()?;
        self.disconnect_locked(&request.container)?;
        let network = self.for_container(&request.network)?;
        let others = self.connections()?;
        let addresses = addresses(&network, request, &others)?;
        let (ports, claims) = claim_all(&network, &request.ports, &others)?;
        let connection = Connection {
            container: request.container.clone(),
            unit: request.unit.clone(),
            network,
            addresses,
            aliases: request.aliases.clone(),
            mac_address: request.mac_address,
            ports,
            dns_servers: request.dns_servers.clone(),
        };
        let namespace = namespace::create()?;
        connections::write(&self.connections_folder(), &connection)?;
        let path = namespace::path(&namespace);
        if let Err(error) =
            netavark::run(Action::Setup, &path, &connection, &self.netavark_folder())
        {
            // It is what failed that is told; whoever comes next tries again.
            let _removed = self.disconnect_locked(&request.container);
            return Err(error);
        }
        Ok(Attachment {
            connection,
            namespace,
            claims,
        })
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
        let Some(connection) = all.iter().find(|one| one.container == *container) else {
            return Ok(());
        };
        let in_network = all
            .iter()
            .filter(|one| one.network.name == connection.network.name);
        let is_last = in_network.count() == 1;
        disconnect::take_down(connection, is_last, &self.netavark_folder())?;
        connections::remove(&self.connections_folder(), container)?;
        if all.len() == 1 {
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
    request: &ConnectRequest,
    others: &[Connection],
) -> Result<Vec<IpAddr>, Error> {
    let of_network = others.iter().filter(|one| one.network.name == network.name);
    let used: BTreeSet<IpAddr> = of_network.flat_map(|one| one.addresses.clone()).collect();
    let subnets = &network.settings.subnets;
    let asked = [
        request.address_v4.map(IpAddr::V4),
        request.address_v6.map(IpAddr::V6),
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

//! The container's networks: connected before the bundle is written, taken down when the container is over, and what
//! its `/etc/hosts` and `/etc/resolv.conf` say of them.
//!
//! A container in the machine's network, or in none, has nothing here.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::Context as _;
use container_model::host_entry::{OwnAddresses, resolver_file, usable_servers};
use container_model::name::Name;
use container_model::network::Network;
use container_model::options::ContainerOptions;
use container_network::{Attachment, ConnectRequest, Networks};

use super::files::read_or_empty;
use super::unit::Unit;

/// systemd-resolved's list of the servers that it asks itself: in a container its own address leads nowhere.
const REAL_SERVERS: &str = "/run/systemd/resolve/resolv.conf";

/// Puts the container into the networks that were asked for.
pub(super) fn connect(
    name: &Name,
    unit: &Unit,
    options: &ContainerOptions,
    namespace: Option<File>,
) -> anyhow::Result<Option<Attachment>> {
    let endpoints = options.endpoints();
    if endpoints.is_empty() {
        return Ok(None);
    }
    let request = ConnectRequest {
        container: name.clone(),
        unit: unit.name().map(ToOwned::to_owned),
        endpoints,
        ports: options.ports.clone(),
        dns_servers: options.dns_servers.clone(),
    };
    Ok(Some(Networks::default().connect(&request, namespace)?))
}

/// Takes down what was set up for a container.
pub(super) fn disconnect(name: &Name) -> anyhow::Result<()> {
    Ok(Networks::default().disconnect(name)?)
}

/// Which containers something was set up for.
pub(super) fn connected() -> Vec<Name> {
    let connections = Networks::default().connections().unwrap_or_default();
    let mut names: Vec<Name> = connections.into_iter().map(|one| one.container).collect();
    names.dedup();
    names
}

/// What stands in `/etc/hosts` of the container itself.
pub(super) fn own_addresses(attachment: Option<&Attachment>) -> OwnAddresses {
    let Some(attachment) = attachment else {
        return OwnAddresses {
            container: Vec::new(),
            // In the machine's network that is the machine.
            gateway: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
    };
    let all = attachment.connections();
    let first = all
        .first()
        .and_then(|one| one.network.settings.subnets.first());
    OwnAddresses {
        container: all.iter().flat_map(|one| one.addresses.clone()).collect(),
        gateway: first.map(container_model::network::Subnet::gateway),
    }
}

/// The container's `/etc/resolv.conf`; none if it has no network and says nothing of it. In networks of its own it has one in
/// any case, which is filled when it joins a network with names.
pub(super) fn resolver(
    options: &ContainerOptions,
    attachment: Option<&Attachment>,
) -> anyhow::Result<Option<String>> {
    let (servers, domains) = match attachment.map(Attachment::connections) {
        None if *options.network() == Network::Host && is_silent(options) => {
            return read_or_empty("/etc/resolv.conf").map(Some);
        }
        None => (options.dns_servers.clone(), Vec::new()),
        Some(connections) => {
            let (mut servers, domains) = of_the_machine()?;
            if !options.dns_servers.is_empty() {
                servers.clone_from(&options.dns_servers);
            }
            // Each answers for all networks that the container is in, and asks those that were given for names that it
            // does not know.
            let resolvers = connections.iter().flat_map(|one| one.network.resolvers());
            let resolvers: Vec<IpAddr> = resolvers.collect();
            if !resolvers.is_empty() {
                servers = resolvers;
            }
            (servers, domains)
        }
    };
    let asked = &options.dns_domains;
    let domains = if asked.is_empty() { &domains } else { asked };
    let text = resolver_file(&servers, domains, &options.dns_options);
    Ok(text.or_else(|| attachment.map(|_| String::new())))
}

fn is_silent(options: &ContainerOptions) -> bool {
    options.dns_servers.is_empty()
        && options.dns_domains.is_empty()
        && options.dns_options.is_empty()
}

/// The servers and domains of the machine that a container can use.
fn of_the_machine() -> anyhow::Result<(Vec<IpAddr>, Vec<String>)> {
    let (servers, domains) = usable_servers(&read_or_empty("/etc/resolv.conf")?);
    if servers.is_empty() && Path::new(REAL_SERVERS).exists() {
        let text = std::fs::read_to_string(REAL_SERVERS).context(REAL_SERVERS)?;
        return Ok(usable_servers(&text));
    }
    Ok((servers, domains))
}

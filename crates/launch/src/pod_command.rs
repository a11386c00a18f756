//! `launch pod`: what the units of `.pod` files call. Their options are those of `launch run` that are a pod's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::{Args, Subcommand};
use container_model::ContainerOptions;
use container_model::host_entry::HostEntry;
use container_model::name::Name;
use container_model::network::{Endpoint, Network, NetworkOption};
use container_model::options::HostName;
use container_model::resources::MemorySize;

use crate::run::{create_pod, remove_pod};
use crate::run_arguments::{Ports, parse_ports};

#[derive(Debug, Subcommand)]
pub(crate) enum PodCommand {
    /// Make what containers of a pod share, for the unit that this is the main process of
    Create(Box<PodArguments>),
    /// Remove it
    Rm {
        /// The pod's
        name: Name,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PodArguments {
    /// The pod's, by which others of its network find it
    name: Name,
    /// The machine's network, none, the default one (so without this option), or one by name; again for another
    #[arg(long, value_name = "host|none|bridge|NAME[:ip=…,alias=…]")]
    network: Vec<NetworkOption>,
    /// An address of the pod's own choice in the first network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<Ipv4Addr>,
    /// An IPv6 address of the pod's own choice in the first network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<Ipv6Addr>,
    /// Another name by which others of the first network find it
    #[arg(long, value_name = "NAME")]
    network_alias: Vec<HostName>,
    /// Let a port of the machine, or a range of them, lead to the pod
    #[arg(long, value_name = "[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]", value_parser = parse_ports)]
    publish: Vec<Ports>,
    /// The host name of all containers
    #[arg(long)]
    hostname: Option<HostName>,
    /// A line of /etc/hosts; host-gateway is the machine's address
    #[arg(long, value_name = "NAME:ADDRESS|host-gateway")]
    add_host: Vec<HostEntry>,
    /// A name server
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// A domain that short names are looked up in
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option of the resolver
    #[arg(long, value_name = "OPTION")]
    dns_option: Vec<String>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<MemorySize>,
}

pub(crate) fn perform(command: &PodCommand) -> anyhow::Result<()> {
    match command {
        PodCommand::Create(arguments) => create_pod(&arguments.name, &arguments.options()),
        PodCommand::Rm { name } => remove_pod(name),
    }
}

impl PodArguments {
    fn options(&self) -> ContainerOptions {
        ContainerOptions {
            networks: self.networks(),
            first_endpoint: Endpoint {
                address_v4: self.ip,
                address_v6: self.ip6,
                aliases: self.network_alias.clone(),
                mac_address: None,
            },
            ports: self.publish.iter().flat_map(Ports::all).collect(),
            host_name: self.hostname.clone(),
            hosts: self.add_host.clone(),
            dns_servers: self.dns.clone(),
            dns_domains: self.dns_search.clone(),
            dns_options: self.dns_option.clone(),
            shared_memory: self.shm_size,
            ..ContainerOptions::default()
        }
    }

    /// In each of them it is known by another name than its own, which therefore is an alias.
    fn networks(&self) -> Vec<NetworkOption> {
        let mut networks = self.network.clone();
        if networks.is_empty() {
            networks.push(Network::Bridge.into());
        }
        for option in &mut networks {
            if option.network.name().is_some()
                && let Ok(own) = self.name.as_str().parse()
            {
                option.endpoint.aliases.push(own);
            }
        }
        networks
    }
}

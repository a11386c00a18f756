//! `launch network`: networks made, listed, shown and removed.
//!
//! What a network is and who is in it, `container-network` knows; here are options and what is printed.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use container_model::name::Name;
use container_model::network::{Connection, NetworkDefinition, NetworkSettings, Subnet};
use container_model::options::Label;
use container_network::{Error, Networks, NewNetwork};
use ipnet::IpNet;
use serde::Serialize;

use crate::resource_command::{
    InspectArguments, ListArguments, ListForm, PruneArguments, RemoveArguments, print_json,
    print_names,
};
use crate::running::table;

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Make a network, and print its name
    Create(Box<CreateArguments>),
    /// List networks, with how many containers are in each
    #[command(alias = "list")]
    Ls(ListArguments),
    /// Show networks, with the containers in them
    Inspect(InspectArguments),
    /// Remove networks that no container is in
    #[command(alias = "remove")]
    Rm(RemoveArguments),
    /// Remove every network that no container is in, and print the names
    Prune(PruneArguments),
}

#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct CreateArguments {
    /// Its name
    name: Name,
    /// A subnet; one that nobody has without it
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<IpNet>,
    /// The bridge's address in a subnet; the first one without it
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,
    /// What of a subnet containers get that ask for no address
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<IpNet>,
    /// A subnet of IPv6, too
    #[arg(long)]
    ipv6: bool,
    /// No way out of it
    #[arg(long)]
    internal: bool,
    /// A way to other networks of containers
    #[arg(long)]
    no_isolate: bool,
    /// Its containers do not find each other by name
    #[arg(long)]
    disable_dns: bool,
    /// Who is asked for other names
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,
    /// Bytes in a packet
    #[arg(long)]
    mtu: Option<u32>,
    /// A label
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<Label>,
    /// That there is one of that name is no error, whatever it is like
    #[arg(long)]
    ignore: bool,
}

/// What programs are told of a network. Keys are those of its file, and some more.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown<'a> {
    name: &'a Name,
    id: String,
    bridge: String,
    #[serde(flatten)]
    settings: &'a NetworkSettings,
    containers: Vec<ShownContainer<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownContainer<'a> {
    name: &'a Name,
    unit: Option<&'a str>,
    addresses: &'a [IpAddr],
    ports: Vec<ShownPort>,
}

#[derive(Debug, Serialize)]
struct ShownPort {
    /// On the machine, as it is published.
    host: String,
    container: u16,
}

pub(crate) fn perform(command: NetworkCommand) -> anyhow::Result<()> {
    let networks = Networks::default();
    match command {
        NetworkCommand::Create(arguments) => create(&networks, *arguments),
        NetworkCommand::Ls(arguments) => list(&networks, arguments.form()),
        NetworkCommand::Inspect(arguments) => arguments.perform(
            |name| networks.find(name),
            |found, json| inspect(&networks, found, json),
        ),
        NetworkCommand::Rm(arguments) => arguments.perform(|name| networks.remove(name)),
        NetworkCommand::Prune(arguments) => arguments.print(&networks.prune()?),
    }
}

fn create(networks: &Networks, arguments: CreateArguments) -> anyhow::Result<()> {
    let mut settings = NetworkSettings::new(subnets(&arguments)?);
    settings.internal = arguments.internal;
    settings.isolate = !arguments.no_isolate;
    settings.dns = !arguments.disable_dns;
    settings.dns_servers = arguments.dns;
    settings.mtu = arguments.mtu;
    let labels = arguments.label.into_iter();
    settings.labels = labels.map(|label| (label.name, label.value)).collect();
    let name = arguments.name.clone();
    let made = networks.create(NewNetwork {
        name: arguments.name,
        settings,
        with_v6: arguments.ipv6,
    });
    match made {
        Err(Error::Exists(_)) if arguments.ignore => {}
        other => {
            other?;
        }
    }
    println!("{name}");
    Ok(())
}

/// Each gateway and each range belongs to the subnet that it is in.
fn subnets(arguments: &CreateArguments) -> anyhow::Result<Vec<Subnet>> {
    let mut subnets: Vec<Subnet> = arguments
        .subnet
        .iter()
        .map(|net| Subnet::new(*net))
        .collect();
    for gateway in &arguments.gateway {
        let subnet = subnets.iter_mut().find(|one| one.network.contains(gateway));
        let subnet = subnet.with_context(|| format!("--gateway={gateway} is in no --subnet"))?;
        if subnet.gateway.replace(*gateway).is_some() {
            bail!("--gateway={gateway}: its subnet has one already");
        }
    }
    for range in &arguments.ip_range {
        let subnet = subnets.iter_mut().find(|one| one.network.contains(range));
        let subnet = subnet.with_context(|| format!("--ip-range={range} is in no --subnet"))?;
        if subnet.range.replace(*range).is_some() {
            bail!("--ip-range={range}: its subnet has one already");
        }
    }
    Ok(subnets)
}

fn list(networks: &Networks, form: ListForm) -> anyhow::Result<()> {
    let (all, connections) = (networks.list()?, networks.connections()?);
    match form {
        ListForm::Json => return print_json(&shown(all.values(), &connections)),
        ListForm::Names => print_names(all.keys()),
        ListForm::Table => print_table(all.values(), &connections),
    }
    Ok(())
}

fn print_table<'a>(
    networks: impl Iterator<Item = &'a NetworkDefinition>,
    connections: &[Connection],
) {
    let mut rows = vec![table::row(["NAME", "SUBNETS", "CONTAINERS"])];
    for network in networks {
        let subnets = network
            .settings
            .subnets
            .iter()
            .map(|one| one.network.to_string());
        let subnets: Vec<String> = subnets.collect();
        let count = connections
            .iter()
            .filter(|one| one.network.name == network.name)
            .count();
        let (subnets, count) = (subnets.join(","), count.to_string());
        rows.push(table::row([network.name.as_str(), &subnets, &count]));
    }
    print!("{}", table::text(&rows));
}

fn inspect(networks: &Networks, found: &[NetworkDefinition], json: bool) -> anyhow::Result<()> {
    let connections = networks.connections()?;
    if json {
        return print_json(&shown(found.iter(), &connections));
    }
    for network in found {
        println!("# {}, the bridge {}", network.name, network.bridge());
        print!("{}", network.to_toml()?);
        for one in of_network(&connections, network) {
            let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
            println!("# {}: {}", one.container, addresses.join(", "));
            for port in &one.ports {
                println!("#   {port} leads to {}", port.container);
            }
        }
    }
    Ok(())
}

fn of_network<'a>(
    connections: &'a [Connection],
    network: &NetworkDefinition,
) -> impl Iterator<Item = &'a Connection> {
    connections
        .iter()
        .filter(move |one| one.network.name == network.name)
}

fn shown<'a>(
    networks: impl Iterator<Item = &'a NetworkDefinition>,
    connections: &'a [Connection],
) -> Vec<Shown<'a>> {
    let one = |network: &'a NetworkDefinition| Shown {
        name: &network.name,
        id: network.id(),
        bridge: network.bridge(),
        settings: &network.settings,
        containers: of_network(connections, network)
            .map(shown_container)
            .collect(),
    };
    networks.map(one).collect()
}

fn shown_container(connection: &Connection) -> ShownContainer<'_> {
    let ports = connection.ports.iter().map(|port| ShownPort {
        host: port.to_string(),
        container: port.container,
    });
    ShownContainer {
        name: &connection.container,
        unit: connection.unit.as_deref(),
        addresses: &connection.addresses,
        ports: ports.collect(),
    }
}

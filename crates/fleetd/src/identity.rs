//! What this machine says of itself: what the agent finds out, and what the settings say.
//!
//! Nothing of it is asked of others.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use fleet_agent::MachineFacts;
use fleet_store::MachineRecord;
use machine_facts::system_root::SystemRoot;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::configuration::Configuration;

/// Asks the kernel.
pub(crate) fn read() -> anyhow::Result<MachineFacts> {
    let facts = MachineFacts::read(&SystemRoot::new("/"));
    let facts = facts.context("cannot find out which machine this is")?;
    let id = facts.id.as_str();
    let is_good = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    anyhow::ensure!(
        is_good,
        "/etc/machine-id: `{id}` is no machine id: it has 32 hexadecimal digits; systemd-machine-id-setup makes one"
    );
    Ok(facts)
}

/// The machine's record under the settings. `port` is where the API answers by TLS.
pub(crate) fn record(
    facts: &MachineFacts,
    configuration: &Configuration,
    port: Option<u16>,
) -> MachineRecord {
    let found = || facts.address.or_else(first_address);
    let address = configuration.public_ip.or_else(found);
    let reached = address.zip(port).filter(|_| configuration.tls.is_some());
    MachineRecord {
        primary_ip: address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        api_address: reached.map(|(address, port)| SocketAddr::new(address, port).to_string()),
        metadata: configuration.metadata.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..facts.record()
    }
}

/// The first address of an interface that is up and leads somewhere, IPv4 first: for a machine without
/// a default route.
fn first_address() -> Option<IpAddr> {
    let interfaces = getifaddrs().ok()?.filter(|one| {
        one.flags.contains(InterfaceFlags::IFF_UP)
            && !one.flags.intersects(InterfaceFlags::IFF_LOOPBACK)
    });
    let mut addresses: Vec<IpAddr> = interfaces
        .filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|found| found.ip().into());
            v4.or_else(|| address.as_sockaddr_in6().map(|found| found.ip().into()))
        })
        .filter(|address: &IpAddr| !is_link_local(address))
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.first().copied()
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

//! What netavark reads on standard input, for `setup` as for `teardown`.
//!
//! The form is that of `NetworkOptions` in `src/network/types.rs` of netavark 1.14; keys that we have no use for are
//! left out, which it takes for none.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::Serialize;

use super::connection::{BoundPort, Connection};
use super::subnet::Subnet;

/// netavark's metric of a default route. Those of a container's later networks come after it.
const METRIC: u32 = 100;

/// One container and its network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    container_id: String,
    container_name: String,
    networks: BTreeMap<String, PerNetworkOptions>,
    network_info: BTreeMap<String, NetworkInformation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    port_mappings: Vec<PortMapping>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns_servers: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PerNetworkOptions {
    aliases: Vec<String>,
    interface_name: String,
    static_ips: Vec<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    static_mac: Option<String>,
    options: BTreeMap<&'static str, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NetworkInformation {
    dns_enabled: bool,
    driver: &'static str,
    id: String,
    internal: bool,
    ipv6_enabled: bool,
    name: String,
    network_interface: String,
    options: BTreeMap<&'static str, String>,
    ipam_options: BTreeMap<&'static str, &'static str>,
    subnets: Vec<SubnetInformation>,
    network_dns_servers: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SubnetInformation {
    gateway: IpAddr,
    subnet: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PortMapping {
    container_port: u16,
    host_ip: String,
    host_port: u16,
    protocol: &'static str,
    range: u16,
}

impl From<&Connection> for Request {
    fn from(connection: &Connection) -> Self {
        let name = connection.network.name.to_string();
        Self {
            container_id: connection.id(),
            container_name: connection.container.to_string(),
            networks: [(name.clone(), per_network(connection))].into(),
            network_info: [(name, information(connection))].into(),
            port_mappings: mappings(&connection.ports),
            dns_servers: connection.dns_servers.clone(),
        }
    }
}

fn per_network(connection: &Connection) -> PerNetworkOptions {
    PerNetworkOptions {
        aliases: connection.aliases.clone(),
        interface_name: connection.inner_interface(),
        static_ips: connection.addresses.clone(),
        static_mac: connection.mac_address.map(|address| address.to_string()),
        options: [("host_interface_name", connection.interface())].into(),
    }
}

fn information(connection: &Connection) -> NetworkInformation {
    let settings = &connection.network.settings;
    let mut options: BTreeMap<&'static str, String> = BTreeMap::new();
    if settings.isolate {
        options.insert("isolate", "true".to_owned());
    }
    if let Some(mtu) = settings.mtu {
        options.insert("mtu", mtu.to_string());
    }
    if connection.number > 0 {
        let metric = METRIC + u32::from(connection.number);
        options.insert("metric", metric.to_string());
    }
    let subnet = |subnet: &Subnet| SubnetInformation {
        gateway: subnet.gateway(),
        subnet: subnet.network.to_string(),
    };
    NetworkInformation {
        dns_enabled: settings.dns,
        driver: "bridge",
        id: connection.network.id(),
        internal: settings.internal,
        ipv6_enabled: settings
            .subnets
            .iter()
            .any(|one| one.network.addr().is_ipv6()),
        name: connection.network.name.to_string(),
        network_interface: connection.network.bridge(),
        options,
        ipam_options: [("driver", "host-local")].into(),
        subnets: settings.subnets.iter().map(subnet).collect(),
        network_dns_servers: settings.dns_servers.clone(),
    }
}

/// Ports that follow each other are one mapping: each is a rule in the kernel.
fn mappings(ports: &[BoundPort]) -> Vec<PortMapping> {
    let mut all: Vec<PortMapping> = Vec::new();
    for port in ports {
        let host_ip = port
            .address
            .map_or(String::new(), |address| address.to_string());
        let continues = |last: &&mut PortMapping| {
            let next = |first: u16| first.checked_add(last.range);
            last.host_ip == host_ip
                && last.protocol == port.protocol.as_str()
                && next(last.host_port) == Some(port.host)
                && next(last.container_port) == Some(port.container)
        };
        match all.last_mut().filter(continues) {
            Some(last) => last.range += 1,
            None => all.push(PortMapping {
                container_port: port.container,
                host_ip,
                host_port: port.host,
                protocol: port.protocol.as_str(),
                range: 1,
            }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{NetworkDefinition, NetworkSettings};
    use crate::port::Protocol;

    fn connection() -> Connection {
        let nets = ["10.89.0.0/24", "fd00::/64"];
        let subnets = nets.map(|text| Subnet::new(text.parse::<ipnet::IpNet>().unwrap()));
        let mut settings = NetworkSettings::new(subnets.into());
        settings.mtu = Some(1400);
        let port = |host, container| BoundPort {
            address: None,
            host,
            container,
            protocol: Protocol::Tcp,
        };
        Connection {
            container: "web".parse().unwrap(),
            unit: None,
            network: NetworkDefinition {
                name: "front".parse().unwrap(),
                settings,
            },
            number: 0,
            addresses: vec!["10.89.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            aliases: vec!["www".to_owned()],
            mac_address: Some("02:00:00:00:00:01".parse().unwrap()),
            ports: vec![port(8080, 80), port(8081, 81), port(9000, 82)],
            dns_servers: vec!["9.9.9.9".parse().unwrap()],
        }
    }

    #[test]
    fn a_connection_is_what_netavark_reads() {
        let connection = connection();
        let network = &connection.network;
        let expected = serde_json::json!({
            "container_id": connection.id(),
            "container_name": "web",
            "networks": { "front": {
                "aliases": ["www"],
                "interface_name": "eth0",
                "static_ips": ["10.89.0.2", "fd00::2"],
                "static_mac": "02:00:00:00:00:01",
                "options": { "host_interface_name": connection.interface() },
            } },
            "network_info": { "front": {
                "dns_enabled": true,
                "driver": "bridge",
                "id": network.id(),
                "internal": false,
                "ipv6_enabled": true,
                "name": "front",
                "network_interface": network.bridge(),
                "options": { "isolate": "true", "mtu": "1400" },
                "ipam_options": { "driver": "host-local" },
                "subnets": [
                    { "gateway": "10.89.0.1", "subnet": "10.89.0.0/24" },
                    { "gateway": "fd00::1", "subnet": "fd00::/64" },
                ],
                "network_dns_servers": [],
            } },
            "port_mappings": [
                { "container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 2 },
                { "container_port": 82, "host_ip": "", "host_port": 9000, "protocol": "tcp", "range": 1 },
            ],
            "dns_servers": ["9.9.9.9"],
        });
        let request = serde_json::to_value(Request::from(&connection)).unwrap();
        assert_eq!(request, expected);
    }

    #[test]
    fn a_connection_survives_its_file() {
        let connection = connection();
        let text = serde_json::to_string(&connection).unwrap();
        assert_eq!(
            serde_json::from_str::<Connection>(&text).unwrap(),
            connection
        );
    }

    #[test]
    fn the_first_network_leads_out() {
        let mut connection = connection();
        connection.number = 1;
        let request = serde_json::to_value(Request::from(&connection)).unwrap();
        let own = &request["networks"]["front"];
        assert_eq!(own["interface_name"], "eth1");
        assert_eq!(request["network_info"]["front"]["options"]["metric"], "101");
    }

    #[test]
    fn what_is_not_asked_for_is_not_said() {
        let mut connection = connection();
        connection.ports.clear();
        connection.dns_servers.clear();
        connection.mac_address = None;
        let text = serde_json::to_string(&Request::from(&connection)).unwrap();
        for key in ["port_mappings", "\"dns_servers\"", "static_mac"] {
            assert!(!text.contains(key), "{key}: {text}");
        }
    }
}

//! `EndpointSettings`: what a container asks for in one network, and what it has there.
//!
//! Whether there is such a network is not looked up.

use core::net::IpAddr;

use container_model::network::{Connection, Endpoint, NetworkOption};
use container_model::options::HostName;
use serde_json::{Value, json};

use crate::ApiError;
use crate::fields::Fields;

/// What the API tells of a network, and clients send back.
const NOTES: &[&str] = &[
    "NetworkID",
    "EndpointID",
    "DNSNames",
    "Gateway",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
];

/// Reads it.
pub fn parse(mut fields: Fields) -> Result<Endpoint, ApiError> {
    fields.ignore(NOTES);
    let mut endpoint = Endpoint::default();
    let mut addresses = fields.object("IPAMConfig")?;
    endpoint.address_v4 = parsed(
        &mut addresses,
        "IPv4Address",
        "an address in numbers is wanted",
    )?;
    endpoint.address_v6 = parsed(
        &mut addresses,
        "IPv6Address",
        "an address in numbers is wanted",
    )?;
    addresses.finish()?;
    endpoint.mac_address = parsed(
        &mut fields,
        "MacAddress",
        "six hexadecimal bytes are wanted",
    )?;
    for alias in fields.texts("Aliases")?.unwrap_or_default() {
        let alias: Result<HostName, _> = alias.parse();
        let alias = alias.map_err(|error| fields.refuse("Aliases", &error.to_string()))?;
        endpoint.aliases.push(alias);
    }
    fields.finish()?;
    Ok(endpoint)
}

fn parsed<T: core::str::FromStr>(
    fields: &mut Fields,
    name: &str,
    wanted: &str,
) -> Result<Option<T>, ApiError> {
    let text = fields.text(name)?;
    let value = text.map(|text| text.parse::<T>());
    let value = value.transpose();
    value.map_err(|_| fields.refuse(name, wanted))
}

/// As it is told: what was asked for, and while the container runs what it has.
pub fn inspect(asked: &NetworkOption, id: Option<&str>, now: Option<&Connection>) -> Value {
    let endpoint = &asked.endpoint;
    let aliases: Vec<&str> = endpoint.aliases.iter().map(HostName::as_str).collect();
    let mac = endpoint.mac_address.map(|address| address.to_string());
    let text = |address: Option<IpAddr>| address.map(|one| one.to_string()).unwrap_or_default();
    let has_wishes = endpoint.address_v4.is_some() || endpoint.address_v6.is_some();
    let wishes = json!({
        "IPv4Address": text(endpoint.address_v4.map(IpAddr::V4)),
        "IPv6Address": text(endpoint.address_v6.map(IpAddr::V6)),
    });
    let (v4, v6) = (place(now, true), place(now, false));
    json!({
        "IPAMConfig": has_wishes.then_some(wishes),
        "Links": null,
        "Aliases": aliases,
        "DNSNames": aliases,
        "MacAddress": mac.unwrap_or_default(),
        "DriverOpts": null,
        "NetworkID": id.unwrap_or_default(),
        "EndpointID": now.map(Connection::id).unwrap_or_default(),
        "Gateway": text(v4.map(|place| place.gateway)),
        "IPAddress": text(v4.map(|place| place.address)),
        "IPPrefixLen": v4.map_or(0, |place| place.length),
        "IPv6Gateway": text(v6.map(|place| place.gateway)),
        "GlobalIPv6Address": text(v6.map(|place| place.address)),
        "GlobalIPv6PrefixLen": v6.map_or(0, |place| place.length),
    })
}

/// An address in its subnet.
#[derive(Clone, Copy)]
struct Place {
    address: IpAddr,
    gateway: IpAddr,
    length: u8,
}

fn place(connection: Option<&Connection>, is_v4: bool) -> Option<Place> {
    let connection = connection?;
    let mut all = connection
        .addresses
        .iter()
        .zip(&connection.network.settings.subnets);
    let (address, subnet) = all.find(|(address, _)| address.is_ipv4() == is_v4)?;
    Some(Place {
        address: *address,
        gateway: subnet.gateway(),
        length: subnet.network.prefix_len(),
    })
}

/// Ports that are published, as `NetworkSettings` has them.
pub fn ports(connections: &[&Connection]) -> Value {
    let mut all = serde_json::Map::new();
    for port in connections.iter().flat_map(|one| &one.ports) {
        let key = format!("{}/{}", port.container, port.protocol);
        let address = port
            .address
            .map_or("0.0.0.0".to_owned(), |one| one.to_string());
        let bound = json!({"HostIp": address, "HostPort": port.host.to_string()});
        let entry = all.entry(key).or_insert_with(|| json!([]));
        if let Some(list) = entry.as_array_mut() {
            list.push(bound);
        }
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Endpoint, ApiError> {
        parse(Fields::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_is_asked_for_is_told_again() {
        let sent = r#"{"IPAMConfig":{"IPv4Address":"10.0.0.9","IPv6Address":""},"Aliases":["www"],
            "MacAddress":"02:00:00:00:00:01","NetworkID":"x","Links":null,"GwPriority":0}"#;
        let asked = NetworkOption {
            network: "web".parse().unwrap(),
            endpoint: read(sent).unwrap(),
        };
        assert_eq!(
            asked.to_string(),
            "web:ip=10.0.0.9,mac=02:00:00:00:00:01,alias=www"
        );
        let told = inspect(&asked, Some("id"), None);
        assert_eq!(told["IPAMConfig"]["IPv4Address"], "10.0.0.9");
        assert_eq!(told["IPAddress"], "", "it does not run");
        let again = Fields::parse(told.to_string().as_bytes()).unwrap();
        assert_eq!(parse(again).unwrap(), asked.endpoint);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (sent, name) in [
            (
                r#"{"IPAMConfig":{"IPv4Address":"fd00::1"}}"#,
                "IPAMConfig.IPv4Address",
            ),
            (
                r#"{"IPAMConfig":{"LinkLocalIPs":["10.0.0.1"]}}"#,
                "IPAMConfig.LinkLocalIPs",
            ),
            (r#"{"Aliases":["a b"]}"#, "Aliases"),
            (r#"{"MacAddress":"2"}"#, "MacAddress"),
            (r#"{"DriverOpts":{"a":"b"}}"#, "DriverOpts"),
            (r#"{"GwPriority":1}"#, "GwPriority"),
        ] {
            let error = read(sent).unwrap_err();
            assert_eq!(error.status, 400);
            assert!(error.message.starts_with(name), "{error}");
        }
    }
}

//! Networks over the API: bridges of the machine, which the next container makes when it needs them.

use container_model::name::Name;
use container_model::network::{Network, NetworkDefinition, NetworkSettings, Subnet};
use container_network::{Error, Networks, NewNetwork};
use engine_api::ApiError;
use engine_api::fields::Fields;
use engine_api::filters::Filters;
use engine_api::query::Query;
use engine_api::route::NetworkRoute;
use serde_json::{Map, Value, json};

use crate::answer::{self, Answer};
use crate::endpoints;
use crate::engine::Engine;

/// The networks that are no bridges.
const SPECIAL: [(&str, &str); 2] = [("host", "host"), ("none", "null")];

pub(crate) fn refused(error: &Error) -> ApiError {
    let text = error.to_string();
    match error {
        Error::Unknown(name) => ApiError::not_found(format!("network {name} not found")),
        Error::Exists(name) => {
            ApiError::conflict(format!("network with name {name} already exists"))
        }
        Error::Io { .. } | Error::Definition { .. } | Error::Netavark(_) | Error::Namespace(_) => {
            ApiError::internal(text)
        }
        Error::NotConnected(_) | Error::Publishes { .. } | Error::Last { .. } => {
            ApiError::conflict(text)
        }
        _ => ApiError {
            status: 403,
            message: text,
        },
    }
}

fn special(name: &str, driver: &str) -> Value {
    json!({
        "Name": name,
        // Docker's are random; there is one of each.
        "Id": format!("{name:0<64}").replace(|c: char| !c.is_ascii_hexdigit(), "0"),
        "Created": engine_api::human::NEVER,
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {"Driver": "default", "Options": null, "Config": []},
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "Containers": {},
        "Options": {},
        "Labels": {},
    })
}

fn entry(network: &NetworkDefinition) -> Value {
    let settings = &network.settings;
    let subnet = |subnet: &Subnet| {
        json!({
            "Subnet": subnet.network.to_string(),
            "Gateway": subnet.gateway().to_string(),
            "IPRange": subnet.range.map(|range| range.to_string()).unwrap_or_default(),
        })
    };
    let has_v6 = settings
        .subnets
        .iter()
        .any(|subnet| subnet.network.addr().is_ipv6());
    json!({
        "Name": network.name.as_str(),
        "Id": network.id(),
        "Created": engine_api::human::NEVER,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": true,
        "EnableIPv6": has_v6,
        "IPAM": {
            "Driver": "default",
            "Options": null,
            "Config": settings.subnets.iter().map(subnet).collect::<Vec<_>>(),
        },
        "Internal": settings.internal,
        "Attachable": false,
        "Ingress": false,
        "Containers": {},
        "Options": {},
        "Labels": settings.labels,
    })
}

/// All of them.
fn all() -> Result<Vec<Value>, ApiError> {
    let known = Networks::default()
        .list()
        .map_err(|error| refused(&error))?;
    let mut found: Vec<Value> = known.values().map(entry).collect();
    if !known.keys().any(|name| name.as_str() == "bridge") {
        // It is made by the first container that uses it.
        found.push(special("bridge", "bridge"));
    }
    found.extend(SPECIAL.iter().map(|(name, driver)| special(name, driver)));
    Ok(found)
}

/// `GET networks`
pub(crate) fn list(query: &Query) -> Answer {
    let filters = Filters::parse(
        query.text("filters"),
        &["name", "id", "driver", "scope", "type", "label"],
    )?;
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let is_custom =
        |value: &Value| !["bridge", "host", "none"].contains(&text(value, "Name").as_str());
    let is_wanted = |value: &Value| {
        let labels = serde_json::from_value(value["Labels"].clone()).unwrap_or_default();
        filters.allows("name", |part| text(value, "Name").contains(part))
            && filters.allows("id", |digits| text(value, "Id").starts_with(digits))
            && filters.allows("driver", |driver| text(value, "Driver") == driver)
            && filters.allows("scope", |scope| scope == "local")
            && filters.allows("type", |kind| (kind == "custom") == is_custom(value))
            && filters.allows_labels(&labels)
    };
    answer::json(&Value::Array(
        all()?.into_iter().filter(is_wanted).collect(),
    ))
}

fn find(text: &str) -> Result<Value, ApiError> {
    let name = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut all = all()?;
    let at = all
        .iter()
        .position(|value| name(value, "Name") == text || name(value, "Id") == text)
        .or_else(|| {
            all.iter()
                .position(|value| text.len() >= 4 && name(value, "Id").starts_with(text))
        });
    at.map(|at| all.swap_remove(at))
        .ok_or_else(|| ApiError::not_found(format!("network {text} not found")))
}

/// The name of what an id, or the first digits of one, may stand for; a text that stands for nothing is a name.
pub(crate) fn resolved(network: Network) -> Network {
    let Network::Named(text) = &network else {
        return network;
    };
    let found = find(text.as_str()).ok();
    let name = found.and_then(|found| found["Name"].as_str()?.parse().ok());
    name.unwrap_or(network)
}

/// One of them.
pub(crate) async fn one(engine: &Engine, text: &str, to: NetworkRoute, body: &[u8]) -> Answer {
    let mut found = find(text)?;
    let name = found["Name"].as_str().unwrap_or_default().to_owned();
    let special = SPECIAL.iter().find(|(special, _)| *special == name);
    match to {
        NetworkRoute::Connect | NetworkRoute::Disconnect if special.is_some() => {
            Err(ApiError::conflict(format!(
                "`{name}` is chosen when a container is made, and is then its only network"
            )))
        }
        NetworkRoute::Connect => {
            let parsed: Name = name.parse().map_err(|_| ApiError::not_found(text))?;
            let answer = endpoints::connect(engine, &parsed, body).await?;
            engine.tell_of("network", "connect", &name, &name);
            Ok(answer)
        }
        NetworkRoute::Disconnect => {
            let parsed: Name = name.parse().map_err(|_| ApiError::not_found(text))?;
            let answer = endpoints::disconnect(engine, &parsed, body).await?;
            engine.tell_of("network", "disconnect", &name, &name);
            Ok(answer)
        }
        NetworkRoute::Inspect => {
            found["Containers"] = containers(engine, &name)?;
            answer::json(&found)
        }
        NetworkRoute::Delete => {
            let parsed: Name = name.parse().map_err(|_| ApiError::not_found(text))?;
            Networks::default()
                .remove(&parsed)
                .map_err(|error| refused(&error))?;
            engine.tell_of("network", "destroy", &name, &name);
            answer::no_content()
        }
    }
}

/// Who is in a network now.
fn containers(engine: &Engine, network: &str) -> Result<Value, ApiError> {
    let all = Networks::default()
        .connections()
        .map_err(|error| refused(&error))?;
    let mut found = Map::new();
    for connection in all {
        if connection.network.name.as_str() != network {
            continue;
        }
        let id = connection.container.as_str();
        let name = engine
            .records
            .get(id)
            .map_or(id.to_owned(), |record| record.name);
        let address = |is_v4: bool| {
            let mut addresses = connection
                .addresses
                .iter()
                .zip(&connection.network.settings.subnets);
            let found = addresses.find(|(address, _)| address.is_ipv4() == is_v4);
            found.map_or(String::new(), |(address, subnet)| {
                format!("{address}/{}", subnet.network.prefix_len())
            })
        };
        found.insert(id.to_owned(), json!({
            "Name": name,
            "EndpointID": connection.id(),
            "MacAddress": connection.mac_address.map(|address| address.to_string()).unwrap_or_default(),
            "IPv4Address": address(true),
            "IPv6Address": address(false),
        }));
    }
    Ok(Value::Object(found))
}

/// `POST networks/create`
pub(crate) fn create(engine: &Engine, body: &[u8]) -> Answer {
    let mut fields = Fields::parse(body)?;
    fields.ignore(&["CheckDuplicate", "EnableIPv4"]);
    let text = fields.text("Name")?.unwrap_or_default();
    let name: Name = text
        .parse()
        .map_err(|error| ApiError::bad_request(format!("Name: {error}")))?;
    fields.one_of("Driver", &["bridge"])?;
    fields.one_of("Scope", &["local"])?;
    let mut settings = NetworkSettings::new(subnets(&mut fields)?);
    settings.internal = fields.flag("Internal")?;
    settings.labels = fields.text_map("Labels")?.into_iter().collect();
    let with_v6 = fields.flag("EnableIPv6")?;
    fields.finish()?;
    let new = NewNetwork {
        name,
        settings,
        with_v6,
    };
    let made = Networks::default()
        .create(new)
        .map_err(|error| refused(&error))?;
    engine.tell_of("network", "create", &made.id(), made.name.as_str());
    answer::created(&json!({"Id": made.id(), "Warning": ""}))
}

fn subnets(fields: &mut Fields) -> Result<Vec<Subnet>, ApiError> {
    let mut addresses = fields.object("IPAM")?;
    addresses.one_of("Driver", &["default"])?;
    let mut subnets = Vec::new();
    for mut one in addresses.objects("Config")? {
        let Some(text) = one.text("Subnet")? else {
            one.finish()?;
            continue;
        };
        let network: ipnet::IpNet = text
            .parse()
            .map_err(|_| one.refuse("Subnet", "a subnet is wanted"))?;
        let mut subnet = Subnet::new(network);
        if let Some(text) = one.text("Gateway")? {
            let gateway = text
                .parse()
                .map_err(|_| one.refuse("Gateway", "an address is wanted"))?;
            subnet.gateway = Some(gateway);
        }
        if let Some(text) = one.text("IPRange")? {
            let range = text
                .parse()
                .map_err(|_| one.refuse("IPRange", "a subnet is wanted"))?;
            subnet.range = Some(range);
        }
        one.finish()?;
        subnets.push(subnet);
    }
    addresses.finish()?;
    Ok(subnets)
}

/// `POST networks/prune`
pub(crate) fn prune(query: &Query) -> Answer {
    Filters::parse(query.text("filters"), &[])?;
    let deleted = Networks::default()
        .prune()
        .map_err(|error| refused(&error))?;
    let deleted: Vec<&str> = deleted.iter().map(Name::as_str).collect();
    answer::json(&json!({"NetworksDeleted": deleted}))
}

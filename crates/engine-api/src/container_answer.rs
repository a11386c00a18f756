//! Containers as lists and inspections show them.

use container_model::network::{self, Connection};
use jiff::Timestamp;
use monitor_protocol::health::Health;
use serde_json::{Map, Value, json};

use crate::endpoint;
use crate::filters::Filters;
use crate::health_answer;
use crate::human::timestamp;
use crate::record::Record;
use crate::state::State;

/// The filters that lists of containers know.
pub const FILTERS: &[&str] = &[
    "ancestor", "before", "exited", "health", "id", "label", "label!", "name", "since", "status",
];

/// Whether filters other than `before` and `since` let a container through.
pub fn is_wanted(
    record: &Record,
    state: &State,
    health: Option<&Health>,
    filters: &Filters,
) -> bool {
    let code = state.exit_code().to_string();
    filters.allows("id", |wanted| record.id_begins(wanted))
        && filters.allows("name", |wanted| {
            // Docker's is a regular expression over the name with its slash; a part is what is typed.
            record
                .name
                .contains(wanted.trim_start_matches(['^', '/']).trim_end_matches('$'))
        })
        && filters.allows("status", |wanted| wanted == state.status())
        && filters.allows("exited", |wanted| {
            wanted == code && matches!(state, State::Exited(_))
        })
        && filters.allows("ancestor", |wanted| {
            record.image == wanted
                || record.image_id == wanted
                || record
                    .image
                    .split_once(':')
                    .is_some_and(|(name, _)| name == wanted)
        })
        && filters.allows("health", |wanted| wanted == health_answer::word(health))
        && filters.allows_labels(&record.labels)
}

/// An entry of a list.
pub fn list_entry(
    record: &Record,
    state: &State,
    health: Option<&Health>,
    connections: &[&Connection],
    now: Timestamp,
) -> Value {
    let remark = health.filter(|_| state.is_running());
    let remark = remark.map_or("", health_answer::remark);
    json!({
        "Id": record.id,
        "Names": [format!("/{}", record.name)],
        "Image": record.image,
        "ImageID": record.image_id,
        "Command": record.command.join(" "),
        "Created": timestamp(record.created).as_second(),
        "Ports": ports(connections, state),
        "Labels": record.labels,
        "State": state.status(),
        "Status": format!("{}{remark}", state.sentence(now)),
        "HostConfig": {"NetworkMode": network_mode(record)},
        "NetworkSettings": {"Networks": networks(record, connections)},
        "Mounts": record.mounts,
    })
}

fn network_mode(record: &Record) -> &str {
    let mode = record.host_config["NetworkMode"].as_str();
    match mode.unwrap_or_default() {
        "" | "default" => "bridge",
        other => other,
    }
}

/// Ports that are published while it runs.
fn ports(connections: &[&Connection], state: &State) -> Vec<Value> {
    let bound = connections.iter().flat_map(|one| &one.ports);
    let bound = bound.filter(|_| state.is_running());
    let told = bound.map(|port| {
        json!({
            "IP": port.address.map_or("0.0.0.0".to_owned(), |address| address.to_string()),
            "PrivatePort": port.container,
            "PublicPort": port.host,
            "Type": port.protocol.to_string(),
        })
    });
    told.collect()
}

/// All of a container.
pub fn inspect(
    record: &Record,
    state: &State,
    health: Option<&Health>,
    connections: &[&Connection],
    problem: &str,
    restarts: u32,
) -> Value {
    let mut own_state = state.inspect(problem);
    if let Some(health) = health {
        own_state["Health"] = health_answer::inspect(health);
    }
    let (path, arguments) = match record.command.split_first() {
        Some((path, arguments)) => (path.as_str(), arguments),
        None => ("", &[][..]),
    };
    json!({
        "Id": record.id,
        "Created": timestamp(record.created).to_string(),
        "Path": path,
        "Args": arguments,
        "State": own_state,
        "Image": record.image_id,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": "",
        "Name": format!("/{}", record.name),
        "RestartCount": restarts,
        "Driver": "overlayfs",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host_config(record),
        "GraphDriver": {"Name": "overlayfs", "Data": null},
        "Mounts": record.mounts,
        "Config": record.config,
        "NetworkSettings": {
            "Ports": endpoint::ports(connections),
            "Networks": networks(record, connections),
        },
    })
}

/// The networks that it is in, or will be; `connections` are those that it is in now.
fn networks(record: &Record, connections: &[&Connection]) -> Value {
    let mut all = Map::new();
    for option in record.networks() {
        let name = option.network.name();
        let is_it = |one: &&&Connection| Some(&one.network.name) == name.as_ref();
        let now = connections.iter().find(is_it).copied();
        let id = name.as_ref().map(network::id);
        let told = endpoint::inspect(&option, id.as_deref(), now);
        all.insert(option.network.to_string(), told);
    }
    Value::Object(all)
}

/// As it came, with what may have changed since.
fn host_config(record: &Record) -> Value {
    let mut value = record.host_config.clone();
    if value.is_object() {
        value["NetworkMode"] = json!(network_mode(record));
        value["LogConfig"] = json!({"Type": "journald", "Config": {}});
        value["RestartPolicy"] = json!({
            "Name": record.restart.name(),
            "MaximumRetryCount": record.restart.count(),
        });
    }
    value
}

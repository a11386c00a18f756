//! `create`: the record of a container that has not run yet.

use container_model::mount::{Access, Mount, MountSource};
use container_model::name::Name;
use container_model::network::{Network, NetworkOption};
use container_model::oci_spec::image::Config;
use container_model::spec;
use engine_api::create::Creation;
use engine_api::query::Query;
use engine_api::{ApiError, Record, health_answer};
use serde_json::{Map, Value, json};

use super::hold;
use crate::answer::{self, Answer};
use crate::clock;
use crate::engine::Engine;
use crate::images::{self, Found};
use crate::{endpoints, networks};

pub(crate) async fn create(engine: &Engine, query: &Query, body: &[u8]) -> Answer {
    if query
        .text("platform")
        .is_some_and(|platform| !images::is_here(platform))
    {
        return Err(ApiError::not_implemented("images of other platforms"));
    }
    let creation = Creation::parse(body)?;
    let image = images::find(engine, &creation.image).await?;
    images::is_allowed(&creation.image)?;
    let record = record(creation, &image, query.text("name"))?;
    engine.records.add(record.clone())?;
    engine.tell("create", &record);
    answer::created(&json!({"Id": record.id, "Warnings": []}))
}

fn record(creation: Creation, image: &Found, name: Option<&str>) -> Result<Record, ApiError> {
    let bad = |error: String| ApiError::bad_request(error);
    let mut id = uuid::Uuid::new_v4().simple().to_string();
    id.push_str(&uuid::Uuid::new_v4().simple().to_string());
    let name = match name {
        Some(name) => name.trim_start_matches('/').to_owned(),
        None => format!("container-{}", &id[..8]),
    };
    let name: Name = name
        .parse()
        .map_err(|error| bad(format!("name: {error}")))?;
    let configuration = &image.facts.configuration;
    let stop_signal = spec::stop_signal(&creation.values, configuration)
        .map_err(|error| bad(error.to_string()))?;
    let command = image
        .facts
        .command(&creation.values.entrypoint, &creation.arguments);
    if command.is_empty() {
        return Err(bad("No command specified".to_owned()));
    }
    let config = configuration.config().clone().unwrap_or_default();
    let networks = networks(&creation.values.networks, name.as_str());
    let mut labels = creation.labels.clone();
    for (name, value) in config.labels().clone().unwrap_or_default() {
        labels.entry(name).or_insert(value);
    }
    let mut record = Record {
        launch: launch(&creation, image, &id),
        name: name.as_str().to_owned(),
        created: clock::now(),
        image: creation.image.clone(),
        image_id: image.facts.id.clone(),
        command,
        restart: creation.restart,
        is_removed_at_end: creation.is_removed_at_end,
        has_terminal: creation.has_terminal,
        has_input: creation.has_input,
        stop_timeout: creation.stop_timeout,
        stop_signal: stop_signal.number(),
        config: inspected(creation.config, image, &config, &labels, &id),
        host_config: creation.host_config,
        mounts: creation.values.mounts.iter().map(mount).collect(),
        labels,
        id,
    };
    record.set_networks(&networks);
    record.set_shown_name();
    Ok(record)
}

/// By their names. In networks that somebody made others find it by the name that it was made with.
fn networks(asked: &[NetworkOption], name: &str) -> Vec<NetworkOption> {
    let one = |option: &NetworkOption| {
        let network = networks::resolved(option.network.clone());
        let mut endpoint = option.endpoint.clone();
        if matches!(network, Network::Named(_)) {
            let own = endpoints::own_name(name, &endpoint.aliases);
            endpoint.aliases.extend(own);
        }
        NetworkOption { network, endpoint }
    };
    asked.iter().map(one).collect()
}

/// The words of `launch run`.
fn launch(creation: &Creation, image: &Found, id: &str) -> Vec<String> {
    let mut words = vec![
        format!("--name={id}"),
        format!("--stop-timeout={}", creation.stop_timeout),
        hold::word(id),
    ];
    let check = &creation.config["Healthcheck"];
    let check = health_answer::merged(check, &image.facts.health);
    // Times of a check that there is not: Docker lets them be.
    let is_wanted =
        |word: &&String| !word.starts_with("--health-") || health_answer::has_check(&check);
    words.extend(creation.options.iter().filter(is_wanted).cloned());
    // Docker's default is the short id; in the machine's network the name is the machine's.
    if creation.values.host_name.is_none() && *creation.values.network() != Network::Host {
        words.push(format!("--hostname={}", &id[..12]));
    }
    // By its digest: what the name stands for later is another image.
    words.push(image.pinned.clone());
    words.extend(creation.arguments.iter().cloned());
    words
}

/// `Config` with what the image adds.
fn inspected(
    given: Value,
    found: &Found,
    image: &Config,
    labels: &std::collections::BTreeMap<String, String>,
    id: &str,
) -> Value {
    let mut map = match given {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let mut fill = |name: &str, value: Value| {
        let is_empty = map.get(name).is_none_or(|given| {
            given.is_null()
                || given.as_str() == Some("")
                || given.as_array().is_some_and(Vec::is_empty)
        });
        if is_empty && !value.is_null() {
            map.insert(name.to_owned(), value);
        }
    };
    fill("Cmd", json!(image.cmd()));
    fill("Entrypoint", json!(image.entrypoint()));
    fill("WorkingDir", json!(image.working_dir()));
    fill("User", json!(image.user()));
    fill("Hostname", json!(&id[..12]));
    let mut variables: Vec<String> = image.env().clone().unwrap_or_default();
    let given = map
        .get("Env")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for variable in given.iter().filter_map(Value::as_str) {
        let name = variable.split('=').next().unwrap_or_default();
        variables.retain(|other| other.split('=').next() != Some(name));
        variables.push(variable.to_owned());
    }
    map.insert("Env".to_owned(), json!(variables));
    map.insert("Labels".to_owned(), json!(labels));
    let check = map.remove("Healthcheck").unwrap_or_default();
    let check = health_answer::merged(&check, &found.facts.health);
    if !check.is_null() {
        map.insert("Healthcheck".to_owned(), check);
    }
    Value::Object(map)
}

/// A mount as the API tells it.
fn mount(mount: &Mount) -> Value {
    let (kind, source, name) = match &mount.source {
        MountSource::Bind { path, .. } => ("bind", path.clone(), ""),
        MountSource::Volume(name) => (
            "volume",
            format!("/var/lib/keelson/volumes/{name}"),
            name.as_str(),
        ),
        MountSource::AnonymousVolume => ("volume", String::new(), ""),
        MountSource::Tmpfs(_) => ("tmpfs", String::new(), ""),
    };
    let writable = mount.access == Access::ReadWrite;
    json!({
        "Type": kind,
        "Name": name,
        "Source": source,
        "Destination": mount.target,
        "Driver": if kind == "volume" { "local" } else { "" },
        "Mode": if writable { "" } else { "ro" },
        "RW": writable,
        "Propagation": if kind == "bind" { "rprivate" } else { "" },
    })
}

//! A container that is to be made: the body of `POST /containers/create` becomes options of `launch run`.
//!
//! Each value is read by its type in `container-model`, so that what `launch` would refuse is refused at once,
//! and by the field's name. Nothing is looked up: neither the image nor volumes.

mod config;
mod host_config;
mod words;

use std::collections::BTreeMap;

use container_model::ContainerOptions;
use container_model::network::{Network, NetworkOption};
use serde_json::Value;

use crate::ApiError;
use crate::endpoint;
use crate::fields::Fields;
use crate::record::RestartPolicy;
use words::Words;

/// Docker's seconds between the stop signal and the kill.
pub const STOP_TIMEOUT: u32 = 10;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The image, as the client names it.
    pub image: String,
    /// Options of `launch run`, without the image.
    pub options: Vec<String>,
    /// What replaces the image's command.
    pub arguments: Vec<String>,
    /// The same as values.
    pub values: ContainerOptions,
    /// What systemd does at the container's end.
    pub restart: RestartPolicy,
    /// Whether the container goes when it ends.
    pub is_removed_at_end: bool,
    /// Whether it has a terminal.
    pub has_terminal: bool,
    /// Whether its standard input is open.
    pub has_input: bool,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout: u32,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `Config` as it came, for whoever inspects.
    pub config: Value,
    /// `HostConfig` as it came.
    pub host_config: Value,
}

impl Creation {
    /// Reads the body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let mut host = fields.object("HostConfig")?;
        let networking = fields.object("NetworkingConfig")?;
        let config = fields.rest();
        let host_config = host.rest();
        let mut words = Words::default();
        let own = config::read(&mut fields, &mut words)?;
        host_config::network_mode(&mut host, &mut words)?;
        networking_config(networking, &mut words)?;
        let lifetime = host_config::read(&mut host, &mut words)?;
        fields.finish()?;
        host.finish()?;
        let (options, values) = words.finish()?;
        Ok(Self {
            image: own.image,
            options,
            arguments: own.arguments,
            values,
            restart: lifetime.restart,
            is_removed_at_end: lifetime.is_removed_at_end,
            has_terminal: own.has_terminal,
            has_input: own.has_input,
            stop_timeout: own.stop_timeout,
            labels: own.labels,
            config,
            host_config,
        })
    }
}

/// Limits of a container, as words of `launch run`.
pub(crate) struct Limits {
    pub(crate) words: Vec<String>,
}

impl Limits {
    /// Takes those that stand in fields.
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut words = Words::default();
        // Where nothing is changed it is left out: zero means that there is to be none.
        let pids = fields.value("PidsLimit");
        host_config::resources(fields, &mut words)?;
        if !pids.is_null() {
            let count = pids.as_i64();
            let count = count.ok_or_else(|| fields.refuse("PidsLimit", "a number is wanted"))?;
            let text = if count > 0 { count } else { -1 }.to_string();
            let path = fields.path("PidsLimit");
            words.values.resources.pids = Some(words.add("pids-limit", &path, &text)?);
        }
        let words = words.into_words();
        Ok(Self { words })
    }
}

/// The networks: the one of `HostConfig` is the first, and the others follow by name. As with Docker, those that are
/// named here replace the default one.
fn networking_config(mut fields: Fields, words: &mut Words) -> Result<(), ApiError> {
    let first = words.values.network().clone();
    let mut sent = fields.object("EndpointsConfig")?;
    let mut options = Vec::new();
    for name in sent.names() {
        let own = sent.object(&name)?;
        let network: Network = name.parse().map_err(|error| {
            ApiError::bad_request(format!("NetworkingConfig.EndpointsConfig: {error}"))
        })?;
        if matches!(network, Network::Host | Network::None) {
            own.finish()?;
            options.push(NetworkOption::from(network));
        } else {
            let endpoint = endpoint::parse(own)?;
            options.push(NetworkOption { network, endpoint });
        }
    }
    sent.finish()?;
    fields.finish()?;
    let is_named = options.iter().any(|option| option.network == first);
    if !is_named && (options.is_empty() || first != Network::Bridge) {
        options.push(first.clone().into());
    }
    options.sort_by_key(|option| (option.network != first, option.network.to_string()));
    for option in &options {
        words.push("network", &option.to_string());
    }
    words.values.networks = options;
    Ok(())
}

#[cfg(test)]
mod tests;

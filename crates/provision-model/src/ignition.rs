//! Ignition's configuration, specification 3.0 to 3.6, read into a plan.
//!
//! Its keys and types are crate ignition-config's. What the image has no tools for (RAID, LUKS, Clevis)
//! and what Keelson does another way (kernel arguments) is refused by name.

mod disks;
mod passwd;
mod reading;
mod refused;
mod resource;
mod storage;
mod systemd;

use ignition_config::{v3_0, v3_1, v3_2, v3_3, v3_4, v3_5, v3_6};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::document::Document;
use crate::key_path::KeyPath;
use crate::plan::{Effect, Fetching, Include, Plan, Stated};
use crate::problem::Problem;
use reading::Reading;
use resource::contents;

/// The specification whose types all older ones are read into; 3.6 has the same.
type Config = v3_5::Config;

/// The plan of a document, or all that is wrong with it.
pub fn plan(document: &Document) -> Result<Plan, Vec<Problem>> {
    let version = document.value.pointer("/ignition/version");
    let Some(version) = version.and_then(serde_json::Value::as_str) else {
        let key = KeyPath::top().key("ignition").key("version");
        return Err(vec![Problem::new(
            key,
            "missing: the specification, such as \"3.5.0\"",
        )]);
    };
    let config = match version {
        "3.0.0" => read::<v3_0::Config>(document),
        "3.1.0" => read::<v3_1::Config>(document),
        "3.2.0" => read::<v3_2::Config>(document),
        "3.3.0" => read::<v3_3::Config>(document),
        "3.4.0" => read::<v3_4::Config>(document),
        "3.5.0" => read::<v3_5::Config>(document),
        "3.6.0" => read::<v3_6::Config>(document),
        other => {
            let key = KeyPath::top().key("ignition").key("version");
            let text = format!("{other} is none of the specifications 3.0.0 to 3.6.0");
            return Err(vec![Problem::new(key, text)]);
        }
    }?;
    let mut reading = Reading::default();
    let plan = whole(&config, &mut reading);
    reading.finish(plan)
}

/// Reads as one specification, whose keys are the only ones, and then as the newest.
fn read<Version: DeserializeOwned + Serialize>(
    document: &Document,
) -> Result<Config, Vec<Problem>> {
    let config: Version = document.read()?;
    let newest = serde_json::to_value(config).and_then(serde_json::from_value);
    newest.map_err(|error| vec![Problem::new(KeyPath::top(), error.to_string())])
}

fn whole(config: &Config, reading: &mut Reading) -> Plan {
    let top = KeyPath::top();
    refused::check(config, reading);
    let mut plan = Plan::default();
    fetching(&config.ignition, &top.key("ignition"), reading, &mut plan);
    if let Some(passwd) = &config.passwd {
        passwd::read(passwd, &top.key("passwd"), reading, &mut plan);
    }
    if let Some(storage) = &config.storage {
        disks::read(storage, &top.key("storage"), reading, &mut plan);
        storage::read(storage, &top.key("storage"), reading, &mut plan);
    }
    if let Some(systemd) = &config.systemd {
        systemd::read(systemd, &top.key("systemd"), reading, &mut plan);
    }
    plan
}

fn fetching(ignition: &v3_5::Ignition, key: &KeyPath, reading: &mut Reading, plan: &mut Plan) {
    plan.fetching = Fetching {
        authorities: authorities(ignition, key, reading),
        ..Fetching::default()
    };
    if let Some(timeouts) = &ignition.timeouts {
        let key = key.key("timeouts");
        let head = timeouts.http_response_headers;
        plan.fetching.head_seconds = reading.number(head, &key.key("httpResponseHeaders"));
        plan.fetching.total_seconds = reading.number(timeouts.http_total, &key.key("httpTotal"));
    }
    if let Some(proxy) = &ignition.proxy {
        plan.fetching.http_proxy.clone_from(&proxy.http_proxy);
        plan.fetching.https_proxy.clone_from(&proxy.https_proxy);
        plan.fetching.no_proxy = proxy.no_proxy.clone().unwrap_or_default();
    }
    let Some(config) = &ignition.config else {
        return;
    };
    let key = key.key("config");
    let mut include = |resource, key: KeyPath, effect| {
        if let Some(contents) = contents(resource, &key, reading) {
            plan.includes
                .push(Stated::new(Include { contents, effect }, key));
        }
    };
    for (index, resource) in config.merge.iter().flatten().enumerate() {
        include(resource, key.key("merge").index(index), Effect::Merge);
    }
    if let Some(resource) = &config.replace {
        include(resource, key.key("replace"), Effect::Replace);
    }
}

fn authorities(
    ignition: &v3_5::Ignition,
    key: &KeyPath,
    reading: &mut Reading,
) -> Vec<Stated<crate::plan::Contents>> {
    let tls = ignition
        .security
        .as_ref()
        .and_then(|security| security.tls.as_ref());
    let all = tls.and_then(|tls| tls.certificate_authorities.as_ref());
    let key = key.key("security").key("tls").key("certificateAuthorities");
    let mut authorities = Vec::new();
    for (index, resource) in all.into_iter().flatten().enumerate() {
        let key = key.index(index);
        if let Some(contents) = contents(resource, &key, reading) {
            authorities.push(Stated::new(contents, key));
        }
    }
    authorities
}

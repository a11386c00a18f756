//! cloud-init's `NoCloud`: any web server with the files `user-data` and `meta-data`.
//!
//! Source: cloud-init, "NoCloud". `vendor-data` and `network-config` are not read.

use provision_model::document::Document;
use serde_json::Value;

use super::client::{Client, MetadataError};
use super::{Fact, Metadata, lines};
use crate::platform::Seed;

const META_DATA: &str = "meta-data";

pub(super) fn read(client: &Client<'_>, seed: &Seed) -> Result<Metadata, MetadataError> {
    let user_data = client.get("user-data")?;
    let facts = client.text(META_DATA)?;
    if user_data.is_none() && facts.is_none() {
        let reason = "neither user-data nor meta-data is there";
        return Err(client.error(META_DATA, reason));
    }
    let document = Document::yaml(&facts.unwrap_or_default());
    let document = document.map_err(|problem| client.error(META_DATA, problem.to_string()))?;
    let text = |key: &str| match document.value.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let mut metadata = Metadata {
        user_data,
        hostname: seed.hostname.clone().or_else(|| text("local-hostname")),
        ssh_keys: keys(&document.value),
        ..Metadata::default()
    };
    let id = seed.instance_id.clone().or_else(|| text("instance-id"));
    metadata.note(Fact::InstanceId, id);
    Ok(metadata)
}

/// A text with lines, a list, or a map of names, as with EC2's.
fn keys(document: &Value) -> Vec<String> {
    let found = match document.get("public-keys") {
        Some(Value::String(text)) => vec![text.as_str()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::Object(map)) => map.values().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    found.into_iter().flat_map(lines).collect()
}

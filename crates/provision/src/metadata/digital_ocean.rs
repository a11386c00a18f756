//! `DigitalOcean`: one JSON document with all of it.
//!
//! Source: `DigitalOcean`, "Droplet Metadata API", `GET /metadata/v1.json`.

use serde_json::Value;

use super::client::{Client, MetadataError};
use super::{Fact, Metadata, lines};

const DOCUMENT: &str = "/metadata/v1.json";

pub(super) fn read(client: &Client<'_>) -> Result<Metadata, MetadataError> {
    let document = client.json(DOCUMENT)?;
    let document = document.ok_or_else(|| client.error(DOCUMENT, "the service is not there"))?;
    let text = |pointer: &str| match document.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let mut metadata = Metadata {
        user_data: text("/user_data").map(String::into_bytes),
        hostname: text("/hostname"),
        ssh_keys: keys(&document),
        ..Metadata::default()
    };
    for (fact, pointer) in [
        (Fact::InstanceId, "/droplet_id"),
        (Fact::Region, "/region"),
        (Fact::LocalIpv4, "/interfaces/private/0/ipv4/ip_address"),
        (Fact::PublicIpv4, "/interfaces/public/0/ipv4/ip_address"),
    ] {
        metadata.note(fact, text(pointer));
    }
    Ok(metadata)
}

fn keys(document: &Value) -> Vec<String> {
    let list = document.get("public_keys").and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.flat_map(lines).collect()
}

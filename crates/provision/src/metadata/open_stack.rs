//! `OpenStack`: a JSON document, and the user data beside it; the same that its config drive has.
//!
//! Source: `OpenStack` Nova, "Metadata service".

use serde_json::Value;

use super::client::{Client, MetadataError};
use super::{Fact, Metadata, lines};

const DOCUMENT: &str = "/openstack/latest/meta_data.json";
const USER_DATA: &str = "/openstack/latest/user_data";

pub(super) fn read(client: &Client<'_>) -> Result<Metadata, MetadataError> {
    let document = client.json(DOCUMENT)?;
    let document = document.ok_or_else(|| client.error(DOCUMENT, "the service is not there"))?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut metadata = Metadata {
        user_data: client.get(USER_DATA)?,
        hostname: text("hostname").or_else(|| text("name")),
        ssh_keys: keys(&document),
        ..Metadata::default()
    };
    metadata.note(Fact::InstanceId, text("uuid"));
    metadata.note(Fact::AvailabilityZone, text("availability_zone"));
    Ok(metadata)
}

/// By name.
fn keys(document: &Value) -> Vec<String> {
    let map = document.get("public_keys").and_then(Value::as_object);
    let values = map.into_iter().flat_map(serde_json::Map::values);
    values.filter_map(Value::as_str).flat_map(lines).collect()
}

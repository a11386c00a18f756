//! Microsoft Azure: one JSON document with all, user data in base64.
//!
//! Source: Microsoft Learn, "Azure Instance Metadata Service", version 2021-02-01 of its interface. Custom data, which
//! is on a drive, is not read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::client::{Client, MetadataError};
use super::{Fact, Metadata, lines};

const DOCUMENT: &str = "/metadata/instance?api-version=2021-02-01";

pub(super) fn read(client: &Client<'_>) -> Result<Metadata, MetadataError> {
    let client = client.with_header("Metadata", "true");
    let document = client.json(DOCUMENT)?;
    let document = document.ok_or_else(|| client.error(DOCUMENT, "the service is not there"))?;
    let text = |pointer: &str| {
        let value = document.pointer(pointer).and_then(Value::as_str);
        value.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut metadata = Metadata {
        user_data: user_data(&client, text("/compute/userData"))?,
        hostname: text("/compute/osProfile/computerName").or_else(|| text("/compute/name")),
        ssh_keys: keys(&document),
        ..Metadata::default()
    };
    for (fact, pointer) in [
        (Fact::InstanceId, "/compute/vmId"),
        (Fact::InstanceType, "/compute/vmSize"),
        (Fact::Region, "/compute/location"),
        (Fact::AvailabilityZone, "/compute/zone"),
        (
            Fact::LocalIpv4,
            "/network/interface/0/ipv4/ipAddress/0/privateIpAddress",
        ),
        (
            Fact::PublicIpv4,
            "/network/interface/0/ipv4/ipAddress/0/publicIpAddress",
        ),
    ] {
        metadata.note(fact, text(pointer));
    }
    Ok(metadata)
}

fn user_data(client: &Client<'_>, text: Option<String>) -> Result<Option<Vec<u8>>, MetadataError> {
    let bytes = text.map(|text| STANDARD.decode(text)).transpose();
    bytes.map_err(|error| client.error(DOCUMENT, format!("userData is not base64: {error}")))
}

fn keys(document: &Value) -> Vec<String> {
    let list = document.pointer("/compute/publicKeys");
    let list = list.and_then(Value::as_array).into_iter().flatten();
    let keys = list.filter_map(|one| one.get("keyData")?.as_str());
    keys.flat_map(lines).collect()
}

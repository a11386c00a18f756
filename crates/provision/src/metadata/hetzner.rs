//! Hetzner Cloud: one small answer for each question.
//!
//! Source: Hetzner Cloud API, "Server Metadata".

use super::client::{Client, MetadataError};
use super::{Fact, Metadata, lines};

const FOLDER: &str = "/hetzner/v1/metadata/";
const USER_DATA: &str = "/hetzner/v1/userdata";

pub(super) fn read(client: &Client<'_>) -> Result<Metadata, MetadataError> {
    let mut metadata = Metadata {
        user_data: client.get(USER_DATA)?,
        hostname: client.text(&format!("{FOLDER}hostname"))?,
        ssh_keys: keys(client)?,
        ..Metadata::default()
    };
    for (fact, path) in [
        (Fact::InstanceId, "instance-id"),
        (Fact::Region, "region"),
        (Fact::AvailabilityZone, "availability-zone"),
        (Fact::LocalIpv4, "local-ipv4"),
        (Fact::PublicIpv4, "public-ipv4"),
    ] {
        let value = client.text(&format!("{FOLDER}{path}"))?;
        metadata.note(fact, value);
    }
    Ok(metadata)
}

/// A list in JSON.
fn keys(client: &Client<'_>) -> Result<Vec<String>, MetadataError> {
    let path = format!("{FOLDER}public-keys");
    let Some(value) = client.json(&path)? else {
        return Ok(Vec::new());
    };
    let keys: Result<Vec<String>, _> = serde_json::from_value(value);
    let keys = keys.map_err(|error| client.error(&path, format!("no list of keys: {error}")))?;
    Ok(keys.iter().flat_map(|key| lines(key)).collect())
}

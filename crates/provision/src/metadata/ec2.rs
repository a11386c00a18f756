//! Amazon EC2: the Instance Metadata Service, version 2, which wants a token with every question.
//!
//! Source: Amazon EC2 User Guide, "Use the Instance Metadata Service". Version 1 is not spoken.

use super::client::{Client, MetadataError};
use super::{Fact, Metadata, lines};

const TOKEN: &str = "/latest/api/token";
const KEYS: &str = "/latest/meta-data/public-keys/";
const FACTS: [(Fact, &str); 6] = [
    (Fact::InstanceId, "instance-id"),
    (Fact::InstanceType, "instance-type"),
    (Fact::Region, "placement/region"),
    (Fact::AvailabilityZone, "placement/availability-zone"),
    (Fact::LocalIpv4, "local-ipv4"),
    (Fact::PublicIpv4, "public-ipv4"),
];

pub(super) fn read(client: &Client<'_>) -> Result<Metadata, MetadataError> {
    let client = client.with_header("X-aws-ec2-metadata-token", token(client)?);
    let mut metadata = Metadata {
        user_data: client.get("/latest/user-data")?,
        hostname: client.text("/latest/meta-data/hostname")?,
        ssh_keys: keys(&client)?,
        ..Metadata::default()
    };
    for (fact, path) in FACTS {
        let value = client.text(&format!("/latest/meta-data/{path}"))?;
        metadata.note(fact, value);
    }
    Ok(metadata)
}

/// For ten minutes: longer than all questions take.
fn token(client: &Client<'_>) -> Result<String, MetadataError> {
    let lifetime = ("X-aws-ec2-metadata-token-ttl-seconds", "600");
    let token = client.put(TOKEN, lifetime)?;
    let token = token.ok_or_else(|| client.error(TOKEN, "the service gives no token"))?;
    let is_sendable = |byte: u8| byte.is_ascii_graphic();
    if token.is_empty() || !token.bytes().all(is_sendable) {
        return Err(client.error(TOKEN, "what the service gives is no token"));
    }
    Ok(token)
}

/// The list has lines `0=name`.
fn keys(client: &Client<'_>) -> Result<Vec<String>, MetadataError> {
    let list = client.text(KEYS)?.unwrap_or_default();
    let mut keys = Vec::new();
    for line in lines(&list) {
        let (number, _) = line.split_once('=').unwrap_or((&line, ""));
        if number.parse::<u16>().is_err() {
            return Err(client.error(KEYS, format!("{line:?} is no key's number and name")));
        }
        let text = client.text(&format!("{KEYS}{number}/openssh-key"))?;
        keys.extend(lines(&text.unwrap_or_default()));
    }
    Ok(keys)
}

//! Google Compute Engine: user data and keys are attributes that the machine's owner sets.
//!
//! Source: Google Cloud, "About VM metadata" and "Add SSH keys to VMs". Keys that expire are left out: nobody would
//! take them away here.

use super::client::{Client, MetadataError};
use super::{Fact, Metadata, lines};

/// Has to be sent, and comes back: whatever answers without it is no metadata service.
const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");
const INSTANCE: &str = "/computeMetadata/v1/instance/";
const PROJECT_KEYS: &str = "/computeMetadata/v1/project/attributes/ssh-keys";

pub(super) fn read(client: &Client<'_>) -> Result<Metadata, MetadataError> {
    let client = client.with_header(FLAVOR.0, FLAVOR.1);
    let mut metadata = Metadata {
        user_data: get(&client, &format!("{INSTANCE}attributes/user-data"))?,
        hostname: text(&client, &format!("{INSTANCE}hostname"))?,
        ssh_keys: keys(&client)?,
        ..Metadata::default()
    };
    for (fact, path) in [
        (Fact::InstanceId, "id"),
        (Fact::InstanceType, "machine-type"),
        (Fact::AvailabilityZone, "zone"),
        (Fact::LocalIpv4, "network-interfaces/0/ip"),
        (
            Fact::PublicIpv4,
            "network-interfaces/0/access-configs/0/external-ip",
        ),
    ] {
        let value = text(&client, &format!("{INSTANCE}{path}"))?;
        // `projects/1/zones/europe-west1-b`
        let value = value.and_then(|value| value.rsplit('/').next().map(str::to_owned));
        metadata.note(fact, value);
    }
    let zone = metadata.facts.get(&Fact::AvailabilityZone);
    let region = zone.and_then(|zone| zone.rsplit_once('-'));
    let region = region.map(|(region, _)| region.to_owned());
    metadata.note(Fact::Region, region);
    Ok(metadata)
}

fn get(client: &Client<'_>, path: &str) -> Result<Option<Vec<u8>>, MetadataError> {
    let Some(answer) = client.get_marked(path, FLAVOR.0)? else {
        return Ok(None);
    };
    if answer.mark.as_deref() != Some(FLAVOR.1) {
        let reason = "the answer is not the metadata service's: it has no Metadata-Flavor: Google";
        return Err(client.error(path, reason));
    }
    Ok(Some(answer.bytes))
}

fn text(client: &Client<'_>, path: &str) -> Result<Option<String>, MetadataError> {
    let bytes = get(client, path)?;
    let text = bytes.map(String::from_utf8).transpose();
    let text = text.map_err(|_| client.error(path, "the answer is no text"))?;
    Ok(text.map(|text| text.trim().to_owned()))
}

/// The machine's, and its project's unless the machine wants none of them.
fn keys(client: &Client<'_>) -> Result<Vec<String>, MetadataError> {
    let own = text(client, &format!("{INSTANCE}attributes/ssh-keys"))?;
    let mut keys: Vec<_> = own.iter().flat_map(|text| keys_of(text)).collect();
    let block = format!("{INSTANCE}attributes/block-project-ssh-keys");
    let is_blocked = text(client, &block)?;
    if is_blocked.is_none_or(|text| !text.eq_ignore_ascii_case("true")) {
        let shared = text(client, PROJECT_KEYS)?;
        keys.extend(shared.iter().flat_map(|text| keys_of(text)));
    }
    Ok(keys)
}

/// Lines are `user:key`.
fn keys_of(text: &str) -> Vec<String> {
    let is_for_ever = |line: &String| !line.contains(" google-ssh {");
    let without_user = |line: String| match line.split_once(':') {
        Some((user, key)) if !user.contains(' ') => key.to_owned(),
        _ => line,
    };
    lines(text).filter(is_for_ever).map(without_user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lose_their_user_and_those_that_expire_are_left_out() {
        let text = "a:ssh-ed25519 AAAA a@x\n\nssh-rsa AAAB b:c\n\
                    c:ssh-rsa AAAC google-ssh {\"userName\":\"c\",\"expireOn\":\"2026-01-01T00:00:00+0000\"}\n";
        assert_eq!(keys_of(text), ["ssh-ed25519 AAAA a@x", "ssh-rsa AAAB b:c"]);
    }
}

//! Manifests and indexes: bytes, with their digest and what they say they are.
//!
//! What stands in them is read by others.

use container_model::digest::Digest;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::endpoint::Endpoint;
use crate::{RegistryError, Result};

/// The limit that OCI's specification has registries keep.
const LENGTH_MAX: usize = 4 * 1024 * 1024;
/// Everything that can be understood.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// A registry says which digest it means.
const DIGEST_HEADER: &str = "docker-content-digest";

/// A manifest or an index as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteManifest {
    /// As they were signed or counted.
    pub bytes: Vec<u8>,
    /// Of the bytes.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// The registry that gave it.
    pub host: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: u32,
    media_type: Option<String>,
}

/// Fetches what has a tag or a digest.
pub(crate) async fn fetch(endpoint: &Endpoint, name: &str) -> Result<RemoteManifest> {
    let host = &endpoint.place.host;
    let accepted = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(ACCEPTED))]);
    let answer = endpoint.get(&format!("manifests/{name}"), accepted).await?;
    let header = |name: &str| {
        let value = answer.headers().get(name)?.to_str().ok()?;
        Some(value.trim().to_owned())
    };
    let (told, kind) = (header(DIGEST_HEADER), header(CONTENT_TYPE.as_str()));
    let bytes = endpoint.body(answer, LENGTH_MAX).await?;
    let digest = Digest::from_sha256(&Sha256::digest(&bytes).into());
    // Other algorithms than ours cannot be compared.
    let wanted = [Some(name.to_owned()), told];
    for wanted in wanted.into_iter().flatten() {
        if wanted
            .parse::<Digest>()
            .is_ok_and(|wanted| wanted != digest)
        {
            return Err(RegistryError::Digest {
                host: host.clone(),
                expected: wanted,
                found: digest.to_string(),
            });
        }
    }
    let media_type =
        media_type(&bytes, kind).map_err(|what| RegistryError::nonsense(host, what))?;
    Ok(RemoteManifest {
        bytes,
        digest,
        media_type,
        host: host.clone(),
    })
}

/// What a document says itself counts more than the header that came with it.
fn media_type(bytes: &[u8], header: Option<String>) -> std::result::Result<String, String> {
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|error| format!("something else than a manifest: {error}"))?;
    if head.schema_version != 2 {
        let version = head.schema_version;
        return Err(format!(
            "a manifest of version {version}; only 2 is supported: push the image again with a newer tool"
        ));
    }
    let plain = |text: String| text.split(';').next().unwrap_or_default().trim().to_owned();
    head.media_type
        .or(header.map(plain))
        .ok_or_else(|| "a manifest without a media type".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_what_it_is() {
        let header = || Some("application/a; charset=utf-8".to_owned());
        let kind = |text: &str| media_type(text.as_bytes(), header());
        assert_eq!(
            kind(r#"{"schemaVersion": 2, "mediaType": "application/b"}"#),
            Ok("application/b".to_owned())
        );
        assert_eq!(
            kind(r#"{"schemaVersion": 2}"#),
            Ok("application/a".to_owned())
        );
        let old = kind(r#"{"schemaVersion": 1, "signatures": []}"#).unwrap_err();
        assert!(old.contains("version 1"), "{old}");
        assert!(kind("<html>").unwrap_err().contains("line 1"));
        assert!(media_type(b"{\"schemaVersion\": 2}", None).is_err());
    }
}

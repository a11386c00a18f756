//! Resources: bytes in a `data:` address or elsewhere.
//!
//! Fetches nothing.

use data_url::DataUrl;
use ignition_config::v3_5::Resource;
use url::Url;

use super::reading::Reading;
use crate::key_path::KeyPath;
use crate::plan::{Compression, Contents, Digest, Remote, Source};

/// The contents that a resource describes; `None` if it has no source, or something is wrong.
pub(super) fn contents(
    resource: &Resource,
    key: &KeyPath,
    reading: &mut Reading,
) -> Option<Contents> {
    let compression = compression(resource, key, reading);
    let digest = digest(resource, key, reading);
    let source = source(resource, key, reading)?;
    Some(Contents {
        source,
        compression: compression?,
        digest: digest?,
    })
}

fn compression(resource: &Resource, key: &KeyPath, reading: &mut Reading) -> Option<Compression> {
    match resource.compression.as_deref() {
        None | Some("") => Some(Compression::None),
        Some("gzip") => Some(Compression::Gzip),
        Some(other) => {
            let text = format!("{other:?} is no compression: \"gzip\", or none");
            reading.problem(&key.key("compression"), text);
            None
        }
    }
}

/// `Some(None)` if no digest is asked for.
#[allow(clippy::option_option)] // the outer one is whether it could be read
fn digest(resource: &Resource, key: &KeyPath, reading: &mut Reading) -> Option<Option<Digest>> {
    let hash = resource
        .verification
        .as_ref()
        .and_then(|verification| verification.hash.as_deref());
    let Some(hash) = hash else {
        return Some(None);
    };
    let digest = Digest::parse(hash);
    if digest.is_none() {
        let text = format!("{hash:?} is neither sha256- with 64 digits nor sha512- with 128");
        reading.problem(&key.key("verification").key("hash"), text);
    }
    digest.map(Some)
}

fn source(resource: &Resource, key: &KeyPath, reading: &mut Reading) -> Option<Source> {
    let address = resource.source.as_deref()?;
    let key = key.key("source");
    if address.is_empty() {
        return Some(Source::Inline(Vec::new()));
    }
    if address.starts_with("data:") {
        let decoded = DataUrl::process(address)
            .ok()
            .and_then(|url| url.decode_to_vec().ok());
        if decoded.is_none() {
            reading.problem(&key, "not a data: address by RFC 2397");
        }
        return decoded.map(|(bytes, _)| Source::Inline(bytes));
    }
    let url = match Url::parse(address) {
        Ok(url) => url,
        Err(error) => {
            reading.problem(&key, format!("not an address: {error}"));
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        let text = format!(
            "{}: is not supported: data:, http: or https: are",
            url.scheme()
        );
        reading.problem(&key, text);
        return None;
    }
    let headers = resource.http_headers.iter().flatten();
    Some(Source::Remote(Remote {
        url: address.to_owned(),
        headers: headers
            .map(|header| {
                (
                    header.name.clone(),
                    header.value.clone().unwrap_or_default(),
                )
            })
            .collect(),
    }))
}

//! From a manifest to a root file system: its configuration read, its layers unpacked one over the other.
//!
//! What was unpacked before is not unpacked again.

use std::collections::HashMap;

use container_model::digest::Digest;
use container_model::health::ImageHealth;
use container_model::oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use containerd_client::types::Descriptor;

use crate::archive::digest_of;
use crate::error::{Context as _, Error, Result};
use crate::platform;
use crate::store::{Image, Store};

/// On a configuration, it keeps the unpacked layers as long as the image is there.
const SNAPSHOT_LABEL: &str = "containerd.io/gc.ref.snapshot.overlayfs";

/// An image that can be run.
#[derive(Debug)]
pub struct Unpacked {
    /// What it says of itself.
    pub configuration: ImageConfiguration,
    /// How its health is checked; the specification of images does not know that.
    pub health: Option<ImageHealth>,
    /// The snapshot of all its layers.
    pub top: Digest,
}

/// An image as its documents describe it, before anything is unpacked.
#[derive(Debug)]
pub struct Described {
    /// What it is once it is unpacked.
    pub unpacked: Unpacked,
    manifest: ImageManifest,
}

/// The labels of a manifest, which keep what it refers to from the garbage collection.
pub fn references(manifest: &ImageManifest) -> HashMap<String, String> {
    let parts = std::iter::once(manifest.config()).chain(manifest.layers());
    let label = |(number, part): (usize, &container_model::oci_spec::image::Descriptor)| {
        (
            format!("containerd.io/gc.ref.content.{number}"),
            part.digest().to_string(),
        )
    };
    parts.enumerate().map(label).collect()
}

/// Unpacks an image that is in the store.
pub async fn unpack(store: &Store, image: &Image) -> Result<Unpacked> {
    unpack_observed(store, image, &|_, _, _| {}).await
}

/// The same, and tells of each layer before and after: its digest, size, and whether it is done.
pub async fn unpack_observed(
    store: &Store,
    image: &Image,
    tell: &(dyn Fn(&Digest, u64, bool) + Sync),
) -> Result<Unpacked> {
    let described = describe(store, image).await?;
    unpack_described(store, &described, tell).await?;
    Ok(described.unpacked)
}

/// Reads what an image says of itself.
pub async fn describe(store: &Store, image: &Image) -> Result<Described> {
    let (manifest, _) = manifest(store, image).await?;
    let config: Digest = manifest.config().digest().to_string().parse()?;
    let configuration = store.document(&config).await?;
    let health =
        ImageHealth::of_configuration(&configuration).context("the image's HEALTHCHECK")?;
    let configuration: ImageConfiguration =
        serde_json::from_slice(&configuration).context("the image's configuration")?;
    let differences = configuration.rootfs().diff_ids();
    if differences.len() != manifest.layers().len() || differences.is_empty() {
        return Err(Error::Image(format!(
            "the image has {} layers, and its configuration says {}",
            manifest.layers().len(),
            differences.len()
        )));
    }
    let mut top: Option<Digest> = None;
    for difference in differences {
        top = Some(chain(top.as_ref(), &difference.parse()?));
    }
    Ok(Described {
        unpacked: Unpacked {
            top: top.ok_or_else(|| Error::Image("the image has no layer".to_owned()))?,
            configuration,
            health,
        },
        manifest,
    })
}

/// Unpacks an image that was described; what it tells is as with [`unpack_observed`].
pub async fn unpack_described(
    store: &Store,
    described: &Described,
    tell: &(dyn Fn(&Digest, u64, bool) + Sync),
) -> Result<()> {
    let Described { unpacked, manifest } = described;
    let differences = unpacked.configuration.rootfs().diff_ids();
    let mut top: Option<Digest> = None;
    for (layer, difference) in manifest.layers().iter().zip(differences) {
        let difference: Digest = difference.parse()?;
        let chain = chain(top.as_ref(), &difference);
        let (digest, size) = (layer.digest().to_string().parse()?, layer.size());
        tell(&digest, size, false);
        let layer = Descriptor {
            media_type: layer.media_type().to_string(),
            digest: layer.digest().to_string(),
            size: i64::try_from(layer.size())?,
            ..Descriptor::default()
        };
        store
            .unpack(&layer, &difference, &chain, top.as_ref())
            .await?;
        tell(&digest, size, true);
        top = Some(chain);
    }
    let config: Digest = manifest.config().digest().to_string().parse()?;
    let label = (SNAPSHOT_LABEL.to_owned(), unpacked.top.to_string());
    store.label(&config, HashMap::from([label])).await
}

/// An image's manifest and the digest of it: of an index, what it has for this machine.
pub async fn manifest(store: &Store, image: &Image) -> Result<(ImageManifest, Digest)> {
    let mut digest = image.digest.clone();
    let mut bytes = store.document(&digest).await?;
    if platform::kind(&image.media_type) == platform::Kind::Index {
        let index: ImageIndex = serde_json::from_slice(&bytes)?;
        let chosen = platform::choose(&index);
        let chosen = chosen.ok_or_else(|| Error::Platform(platform::missing(&image.name)))?;
        digest = chosen.digest().to_string().parse()?;
        bytes = store.document(&digest).await?;
    }
    let manifest = serde_json::from_slice(&bytes).context("the image's manifest")?;
    Ok((manifest, digest))
}

/// The name of a layer with all below it, by OCI's rule.
fn chain(parent: Option<&Digest>, difference: &Digest) -> Digest {
    match parent {
        None => difference.clone(),
        Some(parent) => digest_of(format!("{parent} {difference}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_ocis() {
        let digest = |byte: u8| Digest::from_sha256(&[byte; 32]);
        let first = chain(None, &digest(1));
        assert_eq!(first, digest(1));
        let second = chain(Some(&first), &digest(2));
        let text = format!("sha256:{} sha256:{}", "01".repeat(32), "02".repeat(32));
        assert_eq!(second, digest_of(text.as_bytes()));
    }
}

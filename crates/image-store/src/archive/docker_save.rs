//! Archives of `docker save` from before Docker 25, and of `podman save`: `manifest.json` with the paths of
//! configurations and layers.
//!
//! They have no manifest in a registry's sense: one is made, always the same for the same archive.

use std::io::Read as _;

use container_model::ImageReference;
use container_model::oci_spec::image::{
    Descriptor, ImageManifestBuilder, MediaType, SCHEMA_VERSION,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Archive, ArchivedImage, Blob, digest_of};
use crate::error::{Context as _, Result};

/// What is read at once.
const PIECE: usize = 256 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn images(archive: &Archive) -> Result<Vec<ArchivedImage>> {
    let saved: Vec<Saved> = archive.json("manifest.json")?;
    saved.into_iter().map(|one| image(archive, &one)).collect()
}

fn image(archive: &Archive, saved: &Saved) -> Result<ArchivedImage> {
    let tags = saved.repo_tags.iter().flatten();
    let names: Result<Vec<ImageReference>, _> = tags.map(|tag| tag.parse()).collect();
    let config = blob(archive, &saved.config)?;
    let layers: Vec<Blob> = saved
        .layers
        .iter()
        .map(|path| blob(archive, path))
        .collect::<Result<_>>()?;
    let mut descriptors = Vec::new();
    for layer in &layers {
        descriptors.push(describe(layer, layer_type(archive, &layer.path)?)?);
    }
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(describe(&config, MediaType::ImageConfig)?)
        .layers(descriptors)
        .build()?;
    let manifest = serde_json::to_vec(&manifest)?;
    Ok(ArchivedImage {
        names: names?,
        digest: digest_of(&manifest),
        media_type: MediaType::ImageManifest.to_string(),
        manifest,
        blobs: std::iter::once(config).chain(layers).collect(),
    })
}

fn describe(blob: &Blob, media_type: MediaType) -> Result<Descriptor> {
    let digest: container_model::oci_spec::image::Digest = blob.digest.as_str().parse()?;
    Ok(Descriptor::new(media_type, blob.size, digest))
}

/// A file with its digest, which its name need not tell.
fn blob(archive: &Archive, path: &str) -> Result<Blob> {
    let mut hash = Sha256::new();
    let mut reader = archive.reader(path)?;
    let mut buffer = vec![0; PIECE];
    loop {
        let count = reader.read(&mut buffer).with_context(|| path.to_owned())?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    Ok(Blob {
        digest: container_model::digest::Digest::from_sha256(&hash.finalize().into()),
        size: archive.size(path)?,
        path: path.to_owned(),
    })
}

fn layer_type(archive: &Archive, path: &str) -> Result<MediaType> {
    let mut magic = Vec::new();
    archive.reader(path)?.take(4).read_to_end(&mut magic)?;
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => MediaType::ImageLayerGzip,
        [0x28, 0xb5, 0x2f, 0xfd] => MediaType::ImageLayerZstd,
        _ => MediaType::ImageLayer,
    })
}

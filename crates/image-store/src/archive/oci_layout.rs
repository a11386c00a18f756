//! An OCI image layout: `index.json`, and blobs by digest.
//!
//! Of an index of several platforms the one for this machine is taken.

use container_model::ImageReference;
use container_model::oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};

use super::{Archive, ArchivedImage, Blob, digest_of};
use crate::error::{Context as _, Error, Result};
use crate::platform;

/// What containerd and docker write the whole name to.
const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// What the specification has for a name, or for a tag alone.
const REFERENCE_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// Indexes in indexes; nobody nests deeper.
const DEPTH_MAX: usize = 4;

pub(super) fn images(archive: &Archive) -> Result<Vec<ArchivedImage>> {
    let index: ImageIndex = archive.json("index.json")?;
    let mut images: Vec<ArchivedImage> = Vec::new();
    for descriptor in index.manifests() {
        let name = name(descriptor);
        let Some(mut image) = image(archive, descriptor, DEPTH_MAX)? else {
            continue;
        };
        image.names.extend(name);
        match images.iter_mut().find(|other| other.digest == image.digest) {
            Some(other) => other.names.extend(image.names),
            None => images.push(image),
        }
    }
    Ok(images)
}

/// A bare tag names nothing.
fn name(descriptor: &Descriptor) -> Option<ImageReference> {
    let annotations = descriptor.annotations().as_ref()?;
    let whole = annotations.get(NAME_ANNOTATION);
    let reference = annotations.get(REFERENCE_ANNOTATION);
    let reference = reference.filter(|text| text.contains(['/', ':']));
    whole.or(reference)?.parse().ok()
}

/// The image that a descriptor leads to; none if it is for another platform.
fn image(
    archive: &Archive,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<Option<ArchivedImage>> {
    if depth == 0 {
        let text = "its indexes are nested too deeply";
        return Err(Error::Archive(text.to_owned()));
    }
    match descriptor.media_type() {
        MediaType::ImageManifest => manifest(archive, descriptor).map(Some),
        MediaType::Other(text) if text == platform::DOCKER_MANIFEST => {
            manifest(archive, descriptor).map(Some)
        }
        MediaType::ImageIndex => list(archive, descriptor, depth),
        MediaType::Other(text) if text == platform::DOCKER_LIST => list(archive, descriptor, depth),
        // Attestations and other artifacts.
        _ => Ok(None),
    }
}

fn list(archive: &Archive, descriptor: &Descriptor, depth: usize) -> Result<Option<ArchivedImage>> {
    let index: ImageIndex = serde_json::from_slice(&blob(archive, descriptor)?)?;
    match platform::choose(&index) {
        Some(descriptor) => image(archive, descriptor, depth - 1),
        None => Ok(None),
    }
}

fn path(descriptor: &Descriptor) -> Result<String> {
    let digest: container_model::digest::Digest = descriptor.digest().to_string().parse()?;
    Ok(format!("blobs/sha256/{}", digest.hex()))
}

fn blob(archive: &Archive, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let path = path(descriptor)?;
    let bytes = archive.document(&path)?;
    if digest_of(&bytes).as_str() != descriptor.digest().to_string() {
        let text = format!("{path} has other contents than its name says: the archive is damaged");
        return Err(Error::Archive(text));
    }
    Ok(bytes)
}

fn manifest(archive: &Archive, descriptor: &Descriptor) -> Result<ArchivedImage> {
    let bytes = blob(archive, descriptor)?;
    let manifest: ImageManifest = serde_json::from_slice(&bytes).context("a manifest")?;
    let mut blobs = Vec::new();
    for descriptor in std::iter::once(manifest.config()).chain(manifest.layers()) {
        let path = path(descriptor)?;
        blobs.push(Blob {
            digest: descriptor.digest().to_string().parse()?,
            size: archive.size(&path)?,
            path,
        });
    }
    Ok(ArchivedImage {
        names: Vec::new(),
        digest: digest_of(&bytes),
        media_type: descriptor.media_type().to_string(),
        manifest: bytes,
        blobs,
    })
}

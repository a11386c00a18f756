//! Which image of several is for this machine: its architecture, on Linux.
//!
//! Variants of an architecture are not told apart.

use container_model::oci_spec::image::{Arch, Descriptor, ImageIndex, MediaType, Os};

/// Docker's own type of manifests.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's own type of indexes.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a document is, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One image.
    Manifest,
    /// Images for several platforms.
    Index,
    /// Something else that registries hold.
    Other,
}

/// What has a media type.
pub fn kind(media_type: &str) -> Kind {
    match MediaType::from(media_type) {
        MediaType::ImageManifest => Kind::Manifest,
        MediaType::ImageIndex => Kind::Index,
        MediaType::Other(text) if text == DOCKER_MANIFEST => Kind::Manifest,
        MediaType::Other(text) if text == DOCKER_LIST => Kind::Index,
        _ => Kind::Other,
    }
}

/// That an image is not for this machine.
pub fn missing(image: &str) -> String {
    format!("{image} has nothing for linux/{}", architecture())
}

/// As Go names it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The manifest for this machine. One without a platform is for all.
pub fn choose(index: &ImageIndex) -> Option<&Descriptor> {
    let is_here = |descriptor: &&Descriptor| match descriptor.platform() {
        Some(platform) => {
            *platform.os() == Os::Linux && *platform.architecture() == Arch::from(architecture())
        }
        None => true,
    };
    index.manifests().iter().find(is_here)
}

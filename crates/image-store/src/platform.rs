//! Which image of several is for this machine: its architecture, on Linux.
//!
//! Variants of an architecture are not told apart.

use container_model::oci_spec::image::{Arch, Descriptor, ImageIndex, Os};

/// Docker's own type of manifests.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's own type of indexes.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

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

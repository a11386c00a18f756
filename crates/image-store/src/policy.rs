//! The machine's image policy, `/etc/keelson/images.toml`, held against an image.
//!
//! Signatures cannot be verified yet: an image that needs one is refused.

use std::io;

use anyhow::{Context as _, bail};
use container_model::ImageReference;
use container_model::policy::{Allowed, ImagePolicy};

const FILE: &str = "/etc/keelson/images.toml";

/// Whether the machine's owner lets an image be used.
pub fn check(image: &ImageReference) -> anyhow::Result<()> {
    let policy = match std::fs::read_to_string(FILE) {
        Ok(text) => ImagePolicy::parse(&text).context(FILE)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => ImagePolicy::default(),
        Err(error) => return Err(error).context(FILE),
    };
    match policy
        .judge(image)
        .with_context(|| format!("{image} is refused by {FILE}"))?
    {
        Allowed::AsNamed => Ok(()),
        Allowed::Signed { key } => bail!(
            "{image} is refused: {FILE} wants a signature by {key}, and signatures cannot be verified yet"
        ),
    }
}

//! The machine's image policy, `/etc/keelson/images.toml`, held against an image.
//!
//! What the rules mean is `container-model`'s, what a signature is `image-registry`'s.

use std::io;
use std::path::Path;

use container_model::ImageReference;
use container_model::policy::{Allowed, ImagePolicy};
use image_registry::signature::Key;

use crate::error::{Context as _, Result};
use crate::pull::{self, PullOptions};
use crate::store::{Image, Store};

/// The rules.
pub const FILE: &str = "/etc/keelson/images.toml";

/// What an image must have that is allowed.
#[derive(Debug, Clone)]
pub enum Requirement {
    /// Nothing more than what its name says.
    AsNamed,
    /// A signature by this key.
    Signed(Key),
}

/// Whether the machine's owner lets an image of this name be used.
pub fn judge(image: &ImageReference) -> Result<Requirement> {
    let policy = match std::fs::read_to_string(FILE) {
        Ok(text) => ImagePolicy::parse(&text).context(FILE)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => ImagePolicy::default(),
        Err(error) => return Err(error).context(FILE),
    };
    let refused = || format!("{image} is refused by {FILE}");
    match policy.judge(image).with_context(refused)? {
        Allowed::AsNamed => Ok(Requirement::AsNamed),
        Allowed::Signed { key } => {
            let key = Key::read(Path::new(&key)).with_context(refused)?;
            Ok(Requirement::Signed(key))
        }
    }
}

/// Whether an image that is stored may be used under a name. If it must be signed, and that was not found out
/// when it was pulled, its registry is asked for the signature.
pub async fn check_stored(
    store: &Store,
    reference: &ImageReference,
    image: &Image,
    options: &PullOptions,
) -> Result<()> {
    let key = match judge(reference)? {
        Requirement::AsNamed => return Ok(()),
        Requirement::Signed(key) => key,
    };
    let known = store.signer(image).await?;
    if known.as_deref() == Some(key.fingerprint().as_str()) {
        return Ok(());
    }
    pull::verify_stored(reference, &image.digest, &key, options).await?;
    store.name_signed(image, Some(key.fingerprint())).await
}

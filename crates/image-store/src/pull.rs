//! An image from a registry into containerd: the policy asked, every blob verified, all of it unpacked, and
//! only then named.
//!
//! In this order: the policy judges the name; the manifest comes, and its signature if the policy wants one;
//! then configuration and layers, some at a time, each going on where an earlier pull was broken off; then
//! they are unpacked. All is under a lease. A pull that was killed leaves its lease and what came under it: the
//! next pull of that image takes both over, and after a day containerd collects them.

mod blobs;
mod lock;
mod observer;

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use container_model::ImageReference;
use container_model::digest::Digest;
use container_model::oci_spec::image::{ImageIndex, ImageManifest};
use image_registry::signature::{self, Key};
use image_registry::{Notice, Patience, RegistryError, Remote, RemoteManifest, Settings};

pub use observer::{LayerState, Observer, PullEvent};

use crate::error::{Context as _, Error, Result};
use crate::policy::{self, Requirement};
use crate::store::{Image, Store};
use crate::{platform, room, unpack};

/// On the lease of a pull: which image's.
const PULL_LABEL: &str = "keelson.launch/pull";

/// How something is pulled.
#[derive(Clone)]
pub struct PullOptions {
    /// Registries and logins.
    pub settings: Settings,
    /// When to give up.
    pub patience: Patience,
    /// Who is told how far it is.
    pub observer: Observer,
}

impl std::fmt::Debug for PullOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullOptions")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// As it is stored now.
    pub image: Image,
    /// Whether the name led to another image before, or to none.
    pub is_new: bool,
}

/// The manifest of this machine's platform, and the index that it was found in.
struct Resolved {
    /// What the name leads to: it is what is signed.
    top: RemoteManifest,
    /// If that is an index: what it has for this machine.
    chosen: Option<RemoteManifest>,
    /// As it reads.
    manifest: ImageManifest,
}

/// Pulls an image.
pub async fn pull(
    store: &Store,
    reference: &ImageReference,
    options: &PullOptions,
) -> Result<Pulled> {
    let requirement = policy::judge(reference)?;
    let remote = remote(reference, options)?;
    let name = reference.to_string();
    let _lock = lock::take(&name, &options.observer).await?;
    let purpose = HashMap::from([(PULL_LABEL.to_owned(), label_value(&name))]);
    let earlier = store.leases(PULL_LABEL, &label_value(&name)).await?;
    let lease = store.labelled_lease("pull", purpose).await?;
    let pulled = fill(lease.store(), &remote, reference, &requirement, options).await;
    // What came before the network broke is for the next pull.
    if pulled.as_ref().is_err_and(is_passing) {
        return pulled;
    }
    for lease in earlier {
        store.end_lease(lease).await?;
    }
    let ended = lease.end_now().await;
    let pulled = pulled?;
    ended?;
    Ok(pulled)
}

/// Where an image comes from, with our observer as its listener.
fn remote(reference: &ImageReference, options: &PullOptions) -> Result<Remote> {
    let observer = Arc::clone(&options.observer);
    let listener = move |notice: Notice<'_>| {
        let text = match notice {
            Notice::NextPlace { host, error } => {
                format!("{host} is passed over: {error}")
            }
            Notice::Pause { error, pause } => {
                format!("{error}; trying again in {:.1} s", pause.as_secs_f32())
            }
        };
        observer(PullEvent::Notice(text));
    };
    let (settings, patience) = (&options.settings, options.patience);
    Ok(Remote::new(
        settings,
        reference,
        patience,
        Arc::new(listener),
    )?)
}

/// containerd's labels are short: a name may be too long.
fn label_value(name: &str) -> String {
    crate::archive::digest_of(name.as_bytes()).hex().to_owned()
}

fn is_passing(error: &Error) -> bool {
    error.registry().is_some_and(RegistryError::is_passing)
}

async fn fill(
    store: &Store,
    remote: &Remote,
    reference: &ImageReference,
    requirement: &Requirement,
    options: &PullOptions,
) -> Result<Pulled> {
    let observer = &options.observer;
    let resolved = resolve(remote, reference).await?;
    let digest = resolved.top.digest.clone();
    observer(PullEvent::Resolved(digest.clone()));
    let signer = match requirement {
        Requirement::AsNamed => None,
        Requirement::Signed(key) => {
            verify(remote, reference, &digest, key).await?;
            Some(key.fingerprint())
        }
    };
    room::check(store, &reference.to_string(), &resolved.manifest).await?;
    blobs::fetch(store, remote, &resolved.manifest, observer).await?;
    write(store, &resolved).await?;
    let image = Image {
        name: reference.to_string(),
        digest,
        media_type: resolved.top.media_type.clone(),
        size: i64::try_from(resolved.top.bytes.len())?,
    };
    let tell = |layer: &Digest, size, is_done| {
        let state = if is_done {
            LayerState::Unpacked
        } else {
            LayerState::Unpacking
        };
        let digest = layer.clone();
        observer(PullEvent::Layer {
            digest,
            size,
            state,
        });
    };
    unpack::unpack_observed(store, &image, &tell).await?;
    let before = store.image(&image.name).await?;
    store.name_signed(&image, signer).await?;
    Ok(Pulled {
        is_new: before.is_none_or(|before| before.digest != image.digest),
        image,
    })
}

/// Finds out whether the policy's key signed an image.
async fn verify(
    remote: &Remote,
    reference: &ImageReference,
    digest: &Digest,
    key: &Key,
) -> Result<()> {
    let verified = signature::verify(remote, reference, digest, key).await;
    verified.with_context(|| format!("{reference} is refused: {} wants a signature", policy::FILE))
}

/// Verifies the signature of an image that is stored already, by archive or under another policy.
pub async fn verify_stored(
    reference: &ImageReference,
    digest: &Digest,
    key: &Key,
    options: &PullOptions,
) -> Result<()> {
    verify(&remote(reference, options)?, reference, digest, key).await
}

async fn resolve(remote: &Remote, reference: &ImageReference) -> Result<Resolved> {
    let top = remote.manifest(reference.manifest_name()).await?;
    let chosen = match platform::kind(&top.media_type) {
        platform::Kind::Manifest => None,
        platform::Kind::Index => {
            let index: ImageIndex = serde_json::from_slice(&top.bytes)
                .with_context(|| format!("the index of {reference}"))?;
            let chosen = platform::choose(&index);
            let chosen = chosen.ok_or_else(|| {
                let text = platform::missing(&reference.to_string());
                Error::Platform(text)
            })?;
            Some(remote.manifest(chosen.digest().as_ref()).await?)
        }
        platform::Kind::Other => {
            let text = format!("{reference} is no image, but a `{}`", top.media_type);
            return Err(Error::Image(text));
        }
    };
    let own = chosen.as_ref().unwrap_or(&top);
    if platform::kind(&own.media_type) != platform::Kind::Manifest {
        let text = format!("{reference} leads to a `{}` and no image", own.media_type);
        return Err(Error::Image(text));
    }
    let manifest = serde_json::from_slice(&own.bytes)
        .with_context(|| format!("the manifest of {reference}"))?;
    Ok(Resolved {
        top,
        chosen,
        manifest,
    })
}

/// Manifest and index, with what they keep from the garbage collection.
async fn write(store: &Store, resolved: &Resolved) -> Result<()> {
    let own = resolved.chosen.as_ref().unwrap_or(&resolved.top);
    let document = |document: &RemoteManifest, labels| {
        let (size, bytes) = (document.bytes.len() as u64, document.bytes.clone());
        let digest = document.digest.clone();
        async move { store.write(&digest, size, labels, Cursor::new(bytes)).await }
    };
    document(own, unpack::references(&resolved.manifest)).await?;
    if resolved.chosen.is_some() {
        let label = (
            "containerd.io/gc.ref.content.0".to_owned(),
            own.digest.to_string(),
        );
        document(&resolved.top, HashMap::from([label])).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sent(_: &impl Send) {}

    fn proof(store: &Store, reference: &ImageReference, options: &PullOptions) {
        is_sent(&pull(store, reference, options));
    }

    /// A daemon pulls on threads of its own: that this compiles is the test.
    #[test]
    fn pulls_can_be_sent() {
        let _: fn(&Store, &ImageReference, &PullOptions) = proof;
    }
}

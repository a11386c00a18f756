//! Configuration and layers of an image: those that are missing, some at a time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use container_model::digest::Digest;
use container_model::oci_spec::image::{Descriptor, ImageManifest};
use futures::TryStreamExt as _;
use image_registry::{RegistryError, Remote};

use super::{LayerState, Observer, PullEvent};
use crate::error::{Error, Result};
use crate::store::{Begun, Committed, Ingest, Store};

/// As many at a time as Docker fetches.
const SIDE_BY_SIDE: usize = 3;
/// Less than gRPC's limit, and enough that its frames do not count.
const PIECE: usize = 1024 * 1024;
/// Between looks at a blob that somebody else is writing.
const POLL: Duration = Duration::from_millis(200);
/// Registries gave wrong bytes so often that the image cannot be had. Each failure sorts out a place, or what
/// an earlier pull left.
const ATTEMPTS: usize = 8;

/// One blob.
struct Wanted<'a> {
    store: &'a Store,
    remote: &'a Remote,
    observer: &'a Observer,
    digest: Digest,
    size: u64,
    /// The configuration is none, and nobody is told of it.
    is_layer: bool,
}

/// Fetches whatever of an image is not there.
pub(super) async fn fetch(
    store: &Store,
    remote: &Remote,
    manifest: &ImageManifest,
    observer: &Observer,
) -> Result<()> {
    let parts = std::iter::once(manifest.config()).chain(manifest.layers());
    let mut seen = HashSet::new();
    let mut wanted = Vec::new();
    for part in parts {
        let digest: Digest = part.digest().to_string().parse()?;
        check(part, &digest)?;
        // An image may have a layer twice.
        if seen.insert(digest.clone()) {
            wanted.push(Wanted {
                store,
                remote,
                observer,
                digest,
                size: part.size(),
                is_layer: part.digest() != manifest.config().digest(),
            });
        }
    }
    for one in &wanted {
        one.tell(LayerState::Waiting);
    }
    futures::stream::iter(wanted.into_iter().map(Ok::<_, Error>))
        .try_for_each_concurrent(SIDE_BY_SIDE, |one| async move { one.fetch().await })
        .await
}

/// Layers that lie elsewhere are not in the registry.
fn check(part: &Descriptor, digest: &Digest) -> Result<()> {
    let kind = part.media_type().to_string();
    if kind.contains("foreign") || kind.contains("nondistributable") {
        let text = format!("the layer {digest} is a `{kind}`: registries do not have it");
        return Err(Error::Image(text));
    }
    Ok(())
}

impl Wanted<'_> {
    fn tell(&self, state: LayerState) {
        if self.is_layer {
            (self.observer)(PullEvent::Layer {
                digest: self.digest.clone(),
                size: self.size,
                state,
            });
        }
    }

    async fn fetch(&self) -> Result<()> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            let Some(ingest) = self.begin().await? else {
                self.tell(LayerState::Present);
                return Ok(());
            };
            match self.fill(ingest).await? {
                None => {
                    self.tell(LayerState::Fetched);
                    return Ok(());
                }
                Some(error) if self.remote.is_exhausted() => return Err(error.into()),
                Some(error) => {
                    (self.observer)(PullEvent::Notice(error.to_string()));
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(error) => Err(error.into()),
            None => Err(Error::Image(format!("{} cannot be fetched", self.digest))),
        }
    }

    /// A writer, once nobody else is writing the blob; none if it is there.
    async fn begin(&self) -> Result<Option<Ingest>> {
        let mut is_told = false;
        loop {
            match self.store.ingest(&self.digest, self.size).await? {
                Begun::Present => return Ok(None),
                Begun::Ingest(ingest) => return Ok(Some(*ingest)),
                Begun::Locked => {}
            }
            if !is_told {
                is_told = true;
                let text = format!("another process fetches {}: waiting for it", self.digest);
                (self.observer)(PullEvent::Notice(text));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes what is missing. Gives back what is wrong with the bytes, which are forgotten then: they are to
    /// be fetched again from the beginning.
    async fn fill(&self, mut ingest: Ingest) -> Result<Option<RegistryError>> {
        let mut transfer = self
            .remote
            .transfer(&self.digest, self.size, ingest.position());
        self.tell(LayerState::Fetching(ingest.position()));
        let mut piece = Vec::new();
        loop {
            let bytes = match transfer.next().await {
                Ok(bytes) => bytes,
                Err(error @ (RegistryError::Digest { .. } | RegistryError::Nonsense { .. })) => {
                    ingest.forget(self.store).await?;
                    return Ok(Some(error));
                }
                Err(error) => {
                    // What came goes to the next pull.
                    if error.is_passing() && !piece.is_empty() {
                        ingest.write(piece).await?;
                    }
                    return Err(error.into());
                }
            };
            let is_over = bytes.is_none();
            piece.extend_from_slice(&bytes.unwrap_or_default());
            if piece.len() >= PIECE || (is_over && !piece.is_empty()) {
                ingest.write(std::mem::take(&mut piece)).await?;
                self.tell(LayerState::Fetching(ingest.position()));
            }
            if is_over {
                break;
            }
        }
        match ingest.commit(self.store, HashMap::new()).await? {
            Committed::Stored => Ok(None),
            Committed::Wrong(text) => Ok(Some(transfer.wrong(&text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use container_model::oci_spec::image::MediaType;

    use super::*;

    #[test]
    fn layers_that_no_registry_has_are_refused() {
        let digest = Digest::from_sha256(&[1; 32]);
        let part = |kind: &str| {
            let digest: container_model::oci_spec::image::Digest = digest.as_str().parse().unwrap();
            Descriptor::new(MediaType::from(kind), 1, digest)
        };
        let foreign = part("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let error = check(&foreign, &digest).unwrap_err().to_string();
        assert!(error.contains("registries do not have it"), "{error}");
        let usual = part("application/vnd.oci.image.layer.v1.tar+gzip");
        assert!(check(&usual, &digest).is_ok());
    }
}

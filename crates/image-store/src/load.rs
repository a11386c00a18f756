//! An image of an archive into containerd.
//!
//! Nothing has a name before all of it is there and was unpacked.

use std::collections::HashMap;
use std::io::Cursor;

use container_model::ImageReference;
use container_model::oci_spec::image::ImageManifest;

use crate::archive::{Archive, ArchivedImage};
use crate::error::{Context as _, Error, Result};
use crate::store::{Image, Store};
use crate::unpack;

/// Stores an image of an archive under names, unpacked, and says which.
pub async fn load_image(
    store: &Store,
    archive: &Archive,
    image: &ArchivedImage,
    names: &[ImageReference],
) -> Result<Vec<String>> {
    let lease = store.lease("load").await?;
    let result = async {
        let leased = lease.store();
        for blob in &image.blobs {
            let source = archive.reader(&blob.path)?;
            leased
                .write(&blob.digest, blob.size, HashMap::new(), source)
                .await?;
        }
        let manifest: ImageManifest =
            serde_json::from_slice(&image.manifest).context("the image's manifest")?;
        let labels = unpack::references(&manifest);
        let size = image.manifest.len() as u64;
        let source = Cursor::new(image.manifest.clone());
        leased.write(&image.digest, size, labels, source).await?;
        let mut stored = Image {
            name: String::new(),
            digest: image.digest.clone(),
            media_type: image.media_type.clone(),
            size: i64::try_from(size)?,
        };
        unpack::unpack(leased, &stored).await?;
        for name in names {
            stored.name = name.to_string();
            leased.name(&stored).await?;
        }
        Ok::<_, Error>(names.iter().map(ToString::to_string).collect())
    };
    let result = result.await;
    let ended = lease.end().await;
    let names = result?;
    ended?;
    Ok(names)
}

//! `launch load` and `launch images`: archives into containerd, and what is there.
//!
//! Nothing has a name before all of it is there and was unpacked.

use std::collections::HashMap;
use std::io::Cursor;

use anyhow::{Context as _, bail};
use container_model::ImageReference;
use container_model::oci_spec::image::ImageManifest;

use crate::archive::{Archive, ArchivedImage};
use crate::cli::LoadArguments;
use crate::store::{Image, Store};
use crate::unpack;

/// Loads every image of an archive, and says which.
pub(crate) async fn load(arguments: &LoadArguments) -> anyhow::Result<()> {
    let archive = Archive::open(&arguments.file)?;
    let images = archive.images()?;
    if images.is_empty() {
        bail!("{} has no image for this machine", arguments.file.display());
    }
    if arguments.name.is_some() && images.len() > 1 {
        bail!(
            "--name is for archives of one image; this one has {}",
            images.len()
        );
    }
    let store = Store::connect().await?;
    for image in &images {
        let names = names(image, arguments.name.as_ref())?;
        for name in load_one(&store, &archive, image, &names).await? {
            println!("{name}");
        }
    }
    Ok(())
}

fn names(
    image: &ArchivedImage,
    given: Option<&ImageReference>,
) -> anyhow::Result<Vec<ImageReference>> {
    let names: Vec<ImageReference> = match given {
        Some(name) => vec![name.clone()],
        None => image.names.clone(),
    };
    if names.is_empty() {
        bail!(
            "the archive gives the image {} no name: give one with --name",
            image.digest
        );
    }
    match names
        .iter()
        .find(|name| name.digest().is_some_and(|digest| *digest != image.digest))
    {
        Some(name) => bail!(
            "{name} is not what the archive holds: that is {}",
            image.digest
        ),
        None => Ok(names),
    }
}

async fn load_one(
    store: &Store,
    archive: &Archive,
    image: &ArchivedImage,
    names: &[ImageReference],
) -> anyhow::Result<Vec<String>> {
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
        anyhow::Ok(names.iter().map(ToString::to_string).collect())
    };
    let result = result.await;
    let ended = lease.end().await;
    let names = result?;
    ended?;
    Ok(names)
}

/// A line for each image: its name and digest.
pub(crate) async fn list() -> anyhow::Result<()> {
    let store = Store::connect().await?;
    for image in store.images().await? {
        println!("{}\t{}", image.name, image.digest);
    }
    Ok(())
}

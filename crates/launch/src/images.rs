//! `launch images`, `launch rmi`, `launch save`: what is on the machine, less of it, and a copy.

use anyhow::{Context as _, bail};
use container_model::oci_spec::image::Descriptor;
use image_store::save;
use image_store::store::{Image, Store};
use image_store::unpack;
use serde::Serialize;

use crate::cli::{ImagesArguments, RemoveArguments, SaveArguments};
use crate::running::stats::bytes;
use crate::running::table;

/// An image, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    /// In full.
    name: String,
    /// Of its manifest or index.
    digest: String,
    /// What that is.
    media_type: String,
    /// Bytes of configuration and layers, as they are stored.
    size: u64,
}

/// Images by name: a table, digests alone, or JSON.
pub(crate) async fn list(arguments: &ImagesArguments) -> anyhow::Result<()> {
    let store = Store::connect().await?;
    let images = store.images().await?;
    if arguments.json {
        let mut listed = Vec::new();
        for image in &images {
            listed.push(look(&store, image).await?);
        }
        println!("{}", serde_json::to_string_pretty(&listed)?);
        return Ok(());
    }
    if arguments.quiet {
        for image in &images {
            println!("{}", image.digest);
        }
        return Ok(());
    }
    let mut rows = vec![table::row(["NAME", "DIGEST", "SIZE"])];
    for image in &images {
        // Another program's may have no layers that are known here.
        let size = look(&store, image).await;
        let size = size.map_or("-".to_owned(), |listed| bytes(listed.size));
        rows.push(table::row([&image.name, image.digest.as_str(), &size]));
    }
    print!("{}", table::text(&rows));
    Ok(())
}

async fn look(store: &Store, image: &Image) -> anyhow::Result<Listed> {
    let manifest = unpack::manifest(store, image).await;
    let (manifest, _) = manifest.with_context(|| image.name.clone())?;
    let layers = manifest.layers().iter().map(Descriptor::size);
    Ok(Listed {
        name: image.name.clone(),
        digest: image.digest.to_string(),
        media_type: image.media_type.clone(),
        size: manifest.config().size() + layers.sum::<u64>(),
    })
}

/// Takes names away.
pub(crate) async fn remove(arguments: &RemoveArguments) -> anyhow::Result<()> {
    let store = Store::connect().await?;
    for reference in &arguments.images {
        let image = store.find(reference).await?;
        let Some(image) = image else {
            bail!("{reference} is not on this machine");
        };
        store.remove_name(&image.name).await?;
        println!("{}", image.name);
    }
    Ok(())
}

/// Writes images into one archive.
pub(crate) async fn save(arguments: &SaveArguments) -> anyhow::Result<()> {
    let store = Store::connect().await?;
    let mut images = Vec::new();
    for reference in &arguments.images {
        let image = store.find(reference).await?;
        images.push(image.with_context(|| format!("{reference} is not on this machine"))?);
    }
    let saved = save::save(&store, &images, &arguments.output).await;
    saved.with_context(|| arguments.output.display().to_string())
}

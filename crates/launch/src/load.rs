//! `launch load`: archives into containerd.
//!
//! How an image gets there is `image_store::load`'s.

use anyhow::bail;
use container_model::ImageReference;
use image_store::archive::{Archive, ArchivedImage};
use image_store::load::load_image;
use image_store::store::Store;

use crate::cli::LoadArguments;

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
        for name in load_image(&store, &archive, image, &names).await? {
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

//! Names of images, and which manifest each stands for.
//!
//! A name is written in full, as [`container_model::ImageReference`] prints it.

use std::collections::HashMap;
use std::time::SystemTime;

use container_model::ImageReference;
use container_model::digest::Digest;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::{
    CreateImageRequest, DeleteImageRequest, GetImageRequest, Image as Record, ListImagesRequest,
    UpdateImageRequest,
};
use containerd_client::types::Descriptor;

use super::{Store, found, new, plain};
use crate::error::Result;

/// On a name: by which key its image was signed.
const SIGNER_LABEL: &str = "keelson.launch/signer";

/// An image by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// In full.
    pub name: String,
    /// Of its manifest or index.
    pub digest: Digest,
    /// What that is.
    pub media_type: String,
    /// Its size.
    pub size: i64,
}

impl Store {
    /// An image, if there is one of that name.
    pub async fn image(&self, name: &str) -> Result<Option<Image>> {
        let message = GetImageRequest {
            name: name.to_owned(),
        };
        let mut client = ImagesClient::new(self.channel.clone());
        let answer = found(client.get(self.request(message)).await)?;
        let record = answer.and_then(|answer| answer.into_inner().image);
        record.map(read).transpose()
    }

    /// The fingerprint of the key that an image's signature was verified with.
    pub async fn signer(&self, image: &Image) -> Result<Option<String>> {
        let message = GetImageRequest {
            name: image.name.clone(),
        };
        let mut client = ImagesClient::new(self.channel.clone());
        let answer = found(client.get(self.request(message)).await)?;
        let record = answer.and_then(|answer| answer.into_inner().image);
        let record = record.filter(|record| {
            let target = record.target.as_ref();
            target.is_some_and(|target| target.digest == image.digest.as_str())
        });
        Ok(record.and_then(|mut record| record.labels.remove(SIGNER_LABEL)))
    }

    /// Takes a name away. Whether there was one; what has no name left is collected.
    pub async fn remove_name(&self, name: &str) -> Result<bool> {
        let message = DeleteImageRequest {
            name: name.to_owned(),
            sync: true,
            ..DeleteImageRequest::default()
        };
        let mut client = ImagesClient::new(self.channel.clone());
        Ok(found(client.delete(self.request(message)).await)?.is_some())
    }

    /// All images, by name.
    pub async fn images(&self) -> Result<Vec<Image>> {
        let mut client = ImagesClient::new(self.channel.clone());
        let answer = client
            .list(self.request(ListImagesRequest::default()))
            .await;
        let records = answer.map_err(|status| plain(&status))?.into_inner().images;
        let mut images: Vec<Image> = records.into_iter().map(read).collect::<Result<_>>()?;
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// When each name was given last to what it stands for.
    pub async fn named_at(&self) -> Result<HashMap<String, SystemTime>> {
        let mut client = ImagesClient::new(self.channel.clone());
        let answer = client
            .list(self.request(ListImagesRequest::default()))
            .await;
        let records = answer.map_err(|status| plain(&status))?.into_inner().images;
        let dated = records.into_iter().filter_map(|record| {
            let time = SystemTime::try_from(record.updated_at?).ok()?;
            Some((record.name, time))
        });
        Ok(dated.collect())
    }

    /// An image by its name; one with a digest may have been stored under another tag.
    pub async fn find(&self, reference: &ImageReference) -> Result<Option<Image>> {
        let Some(digest) = reference.digest() else {
            return self.image(&reference.to_string()).await;
        };
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let is_it = |image: &Image| {
            let rest = image.name.strip_prefix(&repository);
            image.digest == *digest && rest.is_some_and(|rest| rest.starts_with([':', '@']))
        };
        Ok(self.images().await?.into_iter().find(is_it))
    }

    /// Gives a name to a manifest, whatever had it before.
    pub async fn name(&self, image: &Image) -> Result<()> {
        self.name_signed(image, None).await
    }

    /// Gives a name to a manifest whose signature under this name was verified with a key.
    pub async fn name_signed(&self, image: &Image, signer: Option<&Digest>) -> Result<()> {
        let label = signer.map(|signer| (SIGNER_LABEL.to_owned(), signer.to_string()));
        let record = Record {
            name: image.name.clone(),
            labels: label.into_iter().collect(),
            target: Some(Descriptor {
                media_type: image.media_type.clone(),
                digest: image.digest.to_string(),
                size: image.size,
                ..Descriptor::default()
            }),
            ..Record::default()
        };
        let mut client = ImagesClient::new(self.channel.clone());
        let message = CreateImageRequest {
            image: Some(record.clone()),
            ..CreateImageRequest::default()
        };
        if new(client.create(self.request(message)).await)?.is_some() {
            return Ok(());
        }
        let message = UpdateImageRequest {
            image: Some(record),
            ..UpdateImageRequest::default()
        };
        let answer = client.update(self.request(message)).await;
        answer.map(|_| ()).map_err(|status| plain(&status))
    }
}

fn read(record: Record) -> Result<Image> {
    let target = record.target.unwrap_or_default();
    Ok(Image {
        name: record.name,
        digest: target.digest.parse()?,
        media_type: target.media_type,
        size: target.size,
    })
}

//! Names of images, and which manifest each stands for.
//!
//! A name is written in full, as [`container_model::ImageReference`] prints it.

use container_model::digest::Digest;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::{
    CreateImageRequest, GetImageRequest, Image as Record, ListImagesRequest, UpdateImageRequest,
};
use containerd_client::types::Descriptor;

use super::{Store, found, new, plain};

/// An image by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// In full.
    pub(crate) name: String,
    /// Of its manifest or index.
    pub(crate) digest: Digest,
    /// What that is.
    pub(crate) media_type: String,
    /// Its size.
    pub(crate) size: i64,
}

impl Store {
    /// An image, if there is one of that name.
    pub(crate) async fn image(&self, name: &str) -> anyhow::Result<Option<Image>> {
        let message = GetImageRequest {
            name: name.to_owned(),
        };
        let mut client = ImagesClient::new(self.channel.clone());
        let answer = found(client.get(self.request(message)).await)?;
        let record = answer.and_then(|answer| answer.into_inner().image);
        record.map(read).transpose()
    }

    /// All images, by name.
    pub(crate) async fn images(&self) -> anyhow::Result<Vec<Image>> {
        let mut client = ImagesClient::new(self.channel.clone());
        let answer = client
            .list(self.request(ListImagesRequest::default()))
            .await;
        let records = answer.map_err(|status| plain(&status))?.into_inner().images;
        let mut images: Vec<Image> = records
            .into_iter()
            .map(read)
            .collect::<anyhow::Result<_>>()?;
        images.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// Gives a name to a manifest, whatever had it before.
    pub(crate) async fn name(&self, image: &Image) -> anyhow::Result<()> {
        let record = Record {
            name: image.name.clone(),
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

fn read(record: Record) -> anyhow::Result<Image> {
    let target = record.target.unwrap_or_default();
    Ok(Image {
        name: record.name,
        digest: target.digest.parse()?,
        media_type: target.media_type,
        size: target.size,
    })
}

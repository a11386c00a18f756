//! Images of containerd into an archive: an OCI image layout, with Docker's `manifest.json` beside it.
//!
//! Of an image for several platforms the one for this machine is written. A file has its name only when all
//! of it is there; whoever is sent an archive hears of a failure by its end alone.

use std::collections::HashSet;
use std::path::Path;

use container_model::ImageReference;
use container_model::digest::Digest;
use container_model::oci_spec::image::{Descriptor, ImageManifest};
use container_model::reference::Version;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufWriter};

use crate::error::{Error, Result};
use crate::store::{Image, Store};
use crate::unpack;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Tar counts in these.
const BLOCK: usize = 512;

/// A tar archive that grows by pieces. The crate `tar` wants to be given a reader for each file, and what comes
/// from containerd is none.
struct Archive<W> {
    to: W,
}

impl<W: AsyncWrite + Unpin> Archive<W> {
    async fn begin(&mut self, path: &str, size: u64) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_path(path)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        Ok(self.to.write_all(header.as_bytes()).await?)
    }

    async fn end(&mut self, size: u64) -> Result<()> {
        let used = usize::try_from(size % BLOCK as u64)?;
        let filling = (BLOCK - used) % BLOCK;
        Ok(self.to.write_all(&[0; BLOCK][..filling]).await?)
    }

    async fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.begin(path, bytes.len() as u64).await?;
        self.to.write_all(bytes).await?;
        self.end(bytes.len() as u64).await
    }

    async fn finish(mut self) -> Result<W> {
        self.to.write_all(&[0; 2 * BLOCK]).await?;
        self.to.flush().await?;
        Ok(self.to)
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Writes images into a file, which is replaced if it is there.
pub async fn save(store: &Store, images: &[Image], to: &Path) -> Result<()> {
    let name = to.file_name();
    let name = name.ok_or_else(|| Error::Place("it is no file name".to_owned()))?;
    let mut unfinished = name.to_owned();
    unfinished.push(".unfinished");
    let unfinished = to.with_file_name(unfinished);
    let written = write_file(store, images, &unfinished).await;
    let written = written.and_then(|()| Ok(std::fs::rename(&unfinished, to)?));
    if written.is_err() {
        let _removed = std::fs::remove_file(&unfinished);
    }
    written
}

async fn write_file(store: &Store, images: &[Image], to: &Path) -> Result<()> {
    let file = BufWriter::new(File::create(to).await?);
    let file = write(store, images, file).await?.into_inner();
    Ok(file.sync_all().await?)
}

/// Writes images to whoever wants the archive, and gives that back. One whose name is empty has none there.
pub async fn write<W: AsyncWrite + Unpin>(store: &Store, images: &[Image], to: W) -> Result<W> {
    let mut archive = Archive { to };
    let mut written = HashSet::new();
    let (mut index, mut docker) = (Vec::new(), Vec::new());
    for image in images {
        let (manifest, own) = unpack::manifest(store, image).await?;
        let parts = std::iter::once(manifest.config()).chain(manifest.layers());
        for part in parts {
            let digest: Digest = part.digest().to_string().parse()?;
            if written.insert(digest.clone()) {
                copy(store, &digest, part, &mut archive).await?;
            }
        }
        let bytes = store.document(&own).await?;
        if written.insert(own.clone()) {
            archive.file(&path(&own), &bytes).await?;
        }
        index.push(entry(image, &manifest, &own, bytes.len()));
        docker.push(docker_entry(image, &manifest)?);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": index});
    let documents = [
        ("index.json", serde_json::to_vec(&index)?),
        ("manifest.json", serde_json::to_vec(&docker)?),
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
    ];
    for (name, bytes) in documents {
        archive.file(name, &bytes).await?;
    }
    archive.finish().await
}

fn entry(image: &Image, manifest: &ImageManifest, own: &Digest, size: usize) -> Value {
    let kind = manifest.media_type().as_ref().map(ToString::to_string);
    let mut entry = json!({
        "mediaType": kind.as_deref().unwrap_or(MANIFEST),
        "digest": own.as_str(),
        "size": size,
    });
    if let Some(name) = tagged(image) {
        entry["annotations"] = json!({"io.containerd.image.name": name});
    }
    entry
}

fn docker_entry(image: &Image, manifest: &ImageManifest) -> Result<Value> {
    let layers = manifest.layers().iter();
    let layers: Vec<String> = layers.map(place).collect::<Result<_>>()?;
    Ok(json!({
        "Config": place(manifest.config())?,
        "RepoTags": Vec::from_iter(tagged(image)),
        "Layers": layers,
    }))
}

fn place(part: &Descriptor) -> Result<String> {
    Ok(path(&part.digest().to_string().parse()?))
}

/// The name with its tag alone, if it has one: a digest in it may be the one of an index, and not what is written.
fn tagged(image: &Image) -> Option<String> {
    let reference: ImageReference = image.name.parse().ok()?;
    let tag = match reference.version() {
        Version::Tag(tag) => tag,
        Version::Digest { tag, .. } => tag.as_ref()?,
    };
    let (registry, repository) = (reference.registry(), reference.repository());
    Some(format!("{registry}/{repository}:{tag}"))
}

async fn copy(
    store: &Store,
    digest: &Digest,
    part: &Descriptor,
    archive: &mut Archive<impl AsyncWrite + Unpin>,
) -> Result<()> {
    archive.begin(&path(digest), part.size()).await?;
    let mut pieces = store.read(digest).await?;
    let mut count = 0;
    while let Some(piece) = pieces.next().await? {
        archive.to.write_all(&piece).await?;
        count += piece.len() as u64;
    }
    if count != part.size() {
        return Err(Error::Image(format!(
            "{digest} has {count} bytes, and its manifest says {}",
            part.size()
        )));
    }
    archive.end(count).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn archives_are_tar() {
        let mut archive = Archive { to: Vec::new() };
        for length in [0, 1, 511, 512, 513] {
            let bytes = vec![7; length];
            archive.file(&format!("a/{length}"), &bytes).await.unwrap();
        }
        let bytes = archive.finish().await.unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut archive = tar::Archive::new(&bytes[..]);
        let sizes: Vec<(String, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                (
                    path,
                    std::io::copy(&mut entry, &mut std::io::sink()).unwrap(),
                )
            })
            .collect();
        let expected = [0, 1, 511, 512, 513].map(|length| (format!("a/{length}"), length));
        assert_eq!(sizes, expected);
    }
}

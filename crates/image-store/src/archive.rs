//! Image archives: tar files as `docker save` writes them, or with an OCI image layout.
//!
//! An [`Archive`] knows where each file lies and gives it without unpacking anything. What the files mean
//! is in `oci_layout` and `docker_save`. A compressed archive is refused: nothing in it can be found without
//! unpacking all of it.

mod docker_save;
mod oci_layout;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use container_model::ImageReference;
use container_model::digest::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, Error, Result};

/// Manifests and configurations are read into memory.
const DOCUMENT_MAX: u64 = 8 * 1024 * 1024;
/// As many links as a path may lead through.
const LINKS_MAX: usize = 8;

/// An open archive.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File { offset: u64, size: u64 },
    Link(String),
}

/// An image that an archive holds: every blob that it needs, children before parents.
#[derive(Debug)]
pub struct ArchivedImage {
    /// The names that the archive gives it.
    pub names: Vec<ImageReference>,
    /// Of its manifest.
    pub digest: Digest,
    /// What the manifest is.
    pub media_type: String,
    /// All of it.
    pub manifest: Vec<u8>,
    /// The other blobs.
    pub blobs: Vec<Blob>,
}

/// A blob of an archived image.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Of its bytes.
    pub digest: Digest,
    /// How many.
    pub size: u64,
    /// Where they are.
    pub path: String,
}

impl Archive {
    /// Finds out what is in a file.
    pub fn open(path: &Path) -> Result<Self> {
        let context = || path.display().to_string();
        let mut file = File::open(path).with_context(context)?;
        check_magic(&mut file).with_context(context)?;
        let entries =
            index(file).with_context(|| format!("{} is no tar archive", path.display()))?;
        Ok(Self {
            path: path.to_path_buf(),
            entries,
        })
    }

    /// The images in it.
    pub fn images(&self) -> Result<Vec<ArchivedImage>> {
        let images = if self.entries.contains_key("index.json") {
            oci_layout::images(self)
        } else if self.entries.contains_key("manifest.json") {
            docker_save::images(self)
        } else {
            return Err(Error::Archive(format!(
                "{} has neither index.json nor manifest.json: it is no image archive",
                self.path.display()
            )));
        };
        images.with_context(|| self.path.display().to_string())
    }

    fn locate(&self, path: &str) -> Result<(u64, u64)> {
        let mut at = path.to_owned();
        for _ in 0..LINKS_MAX {
            match self.entries.get(&at) {
                Some(Entry::File { offset, size }) => return Ok((*offset, *size)),
                Some(Entry::Link(target)) => at.clone_from(target),
                None => return Err(Error::Archive(format!("the archive has no {path}"))),
            }
        }
        let text = format!("the links of {path} run in a circle");
        Err(Error::Archive(text))
    }

    /// How long a file is.
    fn size(&self, path: &str) -> Result<u64> {
        Ok(self.locate(path)?.1)
    }

    /// A file's bytes, as a reader of its own.
    pub fn reader(&self, path: &str) -> Result<io::Take<File>> {
        let (offset, size) = self.locate(path)?;
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.take(size))
    }

    /// A small file whole.
    fn document(&self, path: &str) -> Result<Vec<u8>> {
        if self.size(path)? > DOCUMENT_MAX {
            return Err(Error::Archive(format!("{path} is too long")));
        }
        let mut bytes = Vec::new();
        self.reader(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        serde_json::from_slice(&self.document(path)?).with_context(|| path.to_owned())
    }
}

/// The digest of bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(&Sha256::digest(bytes).into())
}

fn malformed(text: &str) -> Error {
    Error::Archive(text.to_owned())
}

fn check_magic(file: &mut File) -> Result<()> {
    let mut magic = [0; 4];
    let count = file.read(&mut magic)?;
    file.rewind()?;
    let text = match magic[..count] {
        [0x1f, 0x8b, ..] => "it is compressed: unpack it with `gzip --decompress` first",
        [0x28, 0xb5, 0x2f, 0xfd] => "it is compressed: unpack it with `zstd --decompress` first",
        _ => return Ok(()),
    };
    Err(malformed(text))
}

fn index(file: File) -> Result<BTreeMap<String, Entry>> {
    let mut archive = tar::Archive::new(file);
    let mut found = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let path = plain(&entry.path()?, Path::new(""))?;
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let file = Entry::File {
                offset: entry.raw_file_position(),
                size: entry.size(),
            };
            found.insert(path, file);
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name()?;
            let target = target.ok_or_else(|| malformed("a link leads nowhere"))?;
            // A symbolic link is relative to its folder, a hard link to the archive.
            let folder = Path::new(&path).parent().filter(|_| kind.is_symlink());
            let target = plain(&target, folder.unwrap_or(Path::new("")))?;
            found.insert(path, Entry::Link(target));
        }
    }
    if found.is_empty() {
        return Err(malformed("it is empty"));
    }
    Ok(found)
}

/// A path in one form, relative to the archive.
fn plain(path: &Path, folder: &Path) -> Result<String> {
    use std::path::Component;
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.components().chain(path.components()) {
        match part {
            Component::Normal(name) => {
                let name = name.to_str();
                parts.push(name.ok_or_else(|| malformed("a name is not UTF-8"))?);
            }
            Component::ParentDir => {
                let parent = parts.pop();
                parent.ok_or_else(|| malformed("a path leads out of the archive"))?;
            }
            _ => {}
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests;

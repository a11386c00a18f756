//! `PRODUCT-VERSION.json`: what a release consists of.
//!
//! The document is a target of the release directory's TUF metadata, so it is authentic; the files it
//! names are fetched by path and checked against the digests in it. Unknown keys are errors: a machine
//! that does not understand a release does not install it.

use disk_format::verity::{BLOCK_LENGTH_BYTES, RootHash, tree_length_bytes};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::changelog::{Change, Package};
use crate::digest::{FileDigest, as_text};
use crate::version::Version;

/// The number of this format.
pub const FORMAT: u32 = 1;
/// Longest manifest and channel document that is read, in bytes.
pub const DOCUMENT_LENGTH_MAX: u64 = 4 << 20;
/// Longest contents of one frame of the root, in bytes.
pub const FRAME_LENGTH_MAX: u32 = 1 << 20;

/// One release of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The product, `vm` or `metal` for instance.
    pub product: String,
    /// Processor architecture, as systemd names it: `x86-64`.
    pub architecture: String,
    /// Its version.
    pub version: Version,
    /// When it was released.
    pub released: jiff::Timestamp,
    /// What the root is verified by.
    #[serde(with = "as_text")]
    pub root_hash: RootHash,
    /// The root file system.
    pub root: Root,
    /// Its hash tree, superblock included, as it stands on its partition.
    pub verity: File,
    /// The unified kernel image.
    pub uki: BootImage,
    /// Static deltas from earlier releases to this one.
    pub deltas: Vec<Delta>,
    /// The packages in it.
    pub packages: Vec<Package>,
    /// What changed since the release before; `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<Changelog>,
}

/// A file of the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Below the release directory, with `/`.
    pub path: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: FileDigest,
}

/// The root file system, in the forms it is fetched in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Its length uncompressed, in bytes; whole blocks of 4096.
    pub length: u64,
    /// All of it as one Zstandard frame, the smallest.
    pub full: File,
    /// All of it in frames that can be fetched alone, ended by their seek table.
    pub frames: File,
    /// The seek table of `frames`, as one Zstandard frame.
    pub index: File,
}

/// The unified kernel image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootImage {
    /// The image.
    pub file: File,
    /// All of it in parts, its sections among them: a part that an installed image also has is not fetched.
    pub parts: Vec<Part>,
}

/// Some bytes of a file, with their digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Their number.
    pub length: u64,
    /// Their digest.
    pub sha256: FileDigest,
}

/// What leads from an earlier release to this one.
///
/// The file is a sequence of Zstandard frames. Each was compressed with something of the old release as
/// its prefix, which must be given to decompress it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    /// The old release.
    pub from: Version,
    /// The old release's root hash.
    #[serde(with = "as_text")]
    pub from_root_hash: RootHash,
    /// The old release's unified kernel image.
    pub from_uki: FileDigest,
    /// The frames, one after the other.
    pub file: File,
    /// Bytes of the first frame: the hash tree, with the old one as prefix.
    pub tree_length: u64,
    /// Bytes of the second: the root's blocks that the old one has not, with those that the new one has
    /// not as prefix (see [`crate::residue`]).
    pub root_length: u64,
    /// Bytes of the third: the unified kernel image, with the old one as prefix.
    pub uki_length: u64,
}

/// What changed since an earlier release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changelog {
    /// The earlier release.
    pub since: Version,
    /// Packages, by name.
    pub packages: Vec<Change>,
}

/// A document that is no manifest, or contradicts itself.
#[derive(Debug, Error)]
pub enum InvalidManifest {
    /// Not JSON of this form.
    #[error("it is no manifest of a release")]
    Json(#[source] serde_json::Error),
    /// Of another format.
    #[error("its format is {0}, this program knows {FORMAT}: update to an earlier release first")]
    Format(u32),
    /// A value cannot be.
    #[error("{key}: {problem}")]
    Value {
        /// Which key.
        key: String,
        /// What is wrong.
        problem: String,
    },
}

impl Manifest {
    /// Reads a manifest and checks that it does not contradict itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(InvalidManifest::Json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Its text, which ends in a line break.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: there are no maps with keys other than text.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The name of the document among the TUF targets.
    pub fn target_name(product: &str, version: &Version) -> String {
        format!("{product}-{version}.json")
    }

    /// Every file of the release.
    pub fn files(&self) -> Vec<&File> {
        let fixed = [
            &self.root.full,
            &self.root.frames,
            &self.root.index,
            &self.verity,
            &self.uki.file,
        ];
        let deltas = self.deltas.iter().map(|delta| &delta.file);
        fixed.into_iter().chain(deltas).collect()
    }

    /// Whether it contradicts itself.
    pub fn check(&self) -> Result<(), InvalidManifest> {
        if self.format != FORMAT {
            return Err(InvalidManifest::Format(self.format));
        }
        if !is_name(&self.product) {
            return Err(bad("product", format!("{:?} is no name", self.product)));
        }
        let tree_length =
            tree_length_bytes(self.root.length).map_err(|e| bad("root.length", e.to_string()))?;
        if self.verity.length != tree_length {
            let problem = format!(
                "{} bytes are no tree over a root of {}, that has {tree_length}",
                self.verity.length, self.root.length
            );
            return Err(bad("verity.length", problem));
        }
        for file in self.files() {
            file.check()?;
        }
        self.check_parts()?;
        self.deltas.iter().try_for_each(Delta::check)
    }

    fn check_parts(&self) -> Result<(), InvalidManifest> {
        let whole = self.uki.file.length;
        let sum = self.uki.parts.iter().try_fold(0_u64, |sum, part| {
            (part.length > 0).then_some(())?;
            sum.checked_add(part.length)
        });
        if sum != Some(whole) {
            let problem = format!("they do not make up the image's {whole} bytes");
            return Err(bad("uki.parts", problem));
        }
        Ok(())
    }

    /// Blocks of the root.
    pub fn root_blocks(&self) -> u64 {
        self.root.length / BLOCK_LENGTH_BYTES
    }
}

impl Delta {
    fn check(&self) -> Result<(), InvalidManifest> {
        let sum = self
            .tree_length
            .checked_add(self.root_length)
            .and_then(|sum| sum.checked_add(self.uki_length));
        if sum != Some(self.file.length) {
            let problem = "its frames do not make up the file".to_owned();
            return Err(bad(&format!("deltas, from {}", self.from), problem));
        }
        Ok(())
    }
}

impl File {
    /// A path must stay below the release directory and mean the same in a URL.
    fn check(&self) -> Result<(), InvalidManifest> {
        if is_safe_path(&self.path) {
            return Ok(());
        }
        let problem = format!(
            "{:?} is no path below the release directory, of letters, digits, '.', '~', '^', '-' and '/'",
            self.path
        );
        Err(bad("path", problem))
    }
}

/// Whether this is a path that stays below where it is looked up, and needs no escaping but `^` in a URL.
pub fn is_safe_path(path: &str) -> bool {
    let is_part = |part: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b".~^-_".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(valid)
    };
    path.split('/').all(is_part)
}

/// Whether this can be the name of a product or channel.
pub fn is_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(valid)
}

fn bad(key: &str, problem: String) -> InvalidManifest {
    InvalidManifest::Value {
        key: key.to_owned(),
        problem,
    }
}

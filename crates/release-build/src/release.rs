//! A built image becomes a release: compressed, described, offered in channels, signed.
//!
//! Nothing points to the new files until the last one, the timestamp, is renamed into place; a release that
//! was interrupted is made again from the beginning.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use disk_format::verity::{Digest, RootHash, verify};
use jiff::Timestamp;
use seekable_zstd::SeekTable;
use serde::Serialize;
use update_client::error::ClientError;
use update_client::tree::Tree;
use update_model::changelog::{Package, changes};
use update_model::channel::{Offer, Standing};
use update_model::manifest::{BootImage, Changelog, FORMAT, Manifest, Root};
use update_model::rollout::Rollout;
use update_model::version::Version;

use crate::compress::{compress_error, frames, store, whole};
use crate::delta::{Loaded, Outcome, make, read_tree};
use crate::directory::{Documents, ReleaseDirectory};
use crate::error::{ReleaseError, Result, make_directory, read};
use crate::frame_lengths::frame_lengths;
use crate::keys::KeyFolders;
use crate::publication::{Lifetimes, check_keys, publish};

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The product.
    pub product: String,
    /// Processor architecture, as systemd names it.
    pub architecture: String,
    /// Its version.
    pub version: Version,
    /// Root hash of the verity tree.
    pub root_hash: RootHash,
    /// The root file system.
    pub root: PathBuf,
    /// Its hash tree.
    pub verity: PathBuf,
    /// The unified kernel image.
    pub uki: PathBuf,
    /// The packages in it.
    pub packages: Vec<Package>,
}

/// How it is released.
#[derive(Clone, Debug)]
pub struct ReleaseOptions {
    /// In which channels.
    pub channels: Vec<String>,
    /// Who may take it when.
    pub rollout: Rollout,
    /// Older machines must run it before anything newer.
    pub barrier: bool,
    /// Machines older than this must take another release first.
    pub minimum_version: Option<Version>,
    /// From how many earlier releases of these channels there shall be static deltas.
    pub deltas: usize,
    /// Zstandard's level.
    pub level: i32,
    /// Bytes of the root in a frame; whole blocks.
    pub frame_length: usize,
    /// How long the metadata holds.
    pub lifetimes: Lifetimes,
    /// The time of the release.
    pub now: Timestamp,
}

/// What was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Released {
    /// The manifest.
    pub manifest: Manifest,
    /// The channels it is in.
    pub channels: Vec<String>,
    /// Deltas that were left out: from which version, and what it would have cost against what is cheaper.
    pub left_out: Vec<LeftOut>,
}

/// A delta that would have cost more than it saves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// From which release.
    pub from: Version,
    /// Bytes it would have had.
    pub bytes: u64,
    /// Bytes of what is fetched instead.
    pub instead: u64,
}

/// Called after each step with its name, the time it took and its result.
pub type Steps<'a> = &'a dyn Fn(&str, Duration, &str);

/// Makes a release.
pub fn release(
    directory: &ReleaseDirectory,
    keys: &KeyFolders,
    image: &Image,
    options: &ReleaseOptions,
    steps: Steps<'_>,
) -> Result<Released> {
    check_keys(keys)?;
    let mut documents = directory.documents()?;
    check_order(&documents, image, options)?;
    let mut work = Work {
        directory: &directory.path,
        image,
        options,
        steps,
    };
    let loaded = work.load()?;
    let earlier = earlier_releases(&documents, image, options)?;
    let (mut manifest, table) = work.compress(&loaded, &earlier)?;
    manifest.changelog = earlier.first().map(|before| Changelog {
        since: before.version.clone(),
        packages: changes(&before.packages, &image.packages),
    });
    let left_out = work.deltas(&mut manifest, &loaded, &table, &earlier)?;
    manifest.check().map_err(ReleaseError::Manifest)?;
    let name = Manifest::target_name(&image.product, &image.version);
    let text = manifest.to_json().into_bytes();
    documents.targets.insert(name.clone(), text);
    for channel in &options.channels {
        offer(&mut documents, &manifest, channel, &name, options)?;
    }
    let begun = Instant::now();
    publish(directory, keys, &documents, options.lifetimes, options.now)?;
    steps(
        "sign",
        begun.elapsed(),
        &format!("in {}", options.channels.join(", ")),
    );
    Ok(Released {
        manifest,
        channels: options.channels.clone(),
        left_out,
    })
}

/// Signs what is there anew, so that it holds longer.
pub fn refresh(
    directory: &ReleaseDirectory,
    keys: &KeyFolders,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<()> {
    publish(directory, keys, &directory.documents()?, lifetimes, now)
}

fn check_order(documents: &Documents, image: &Image, options: &ReleaseOptions) -> Result<()> {
    if let Some(manifest) = documents.manifest(&image.product, &image.version)? {
        return Err(ReleaseError::Exists {
            version: image.version.clone(),
            root_hash: manifest.root_hash.to_string(),
        });
    }
    for name in &options.channels {
        let channel = documents.channel(&image.product, name)?;
        if let Some(newest) = channel
            .releases
            .last()
            .filter(|newest| newest.version >= image.version)
        {
            return Err(ReleaseError::NotNewer {
                version: image.version.clone(),
                newest: newest.version.clone(),
                channel: name.clone(),
            });
        }
    }
    Ok(())
}

/// The manifests of earlier releases in these channels, the newest first.
fn earlier_releases(
    documents: &Documents,
    image: &Image,
    options: &ReleaseOptions,
) -> Result<Vec<Manifest>> {
    let mut manifests: Vec<Manifest> = Vec::new();
    for name in &options.channels {
        for offer in documents.channel(&image.product, name)?.releases {
            let manifest = documents.manifest(&image.product, &offer.version)?;
            manifests.extend(manifest);
        }
    }
    manifests.sort_by(|a, b| b.version.cmp(&a.version));
    manifests.dedup_by(|a, b| a.version == b.version);
    Ok(manifests)
}

fn offer(
    documents: &mut Documents,
    manifest: &Manifest,
    channel: &str,
    name: &str,
    options: &ReleaseOptions,
) -> Result<()> {
    let mut channel = documents.channel(&manifest.product, channel)?;
    channel.releases.push(Offer {
        version: manifest.version.clone(),
        manifest: name.to_owned(),
        root_hash: manifest.root_hash,
        rollout: options.rollout.clone(),
        barrier: options.barrier,
        minimum_version: options.minimum_version.clone(),
        standing: Standing::Offered,
    });
    documents.set_channel(&channel)
}

struct Work<'a> {
    directory: &'a Path,
    image: &'a Image,
    options: &'a ReleaseOptions,
    steps: Steps<'a>,
}

impl Work<'_> {
    fn step<T>(&self, name: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        let begun = Instant::now();
        let (result, summary) = work()?;
        (self.steps)(name, begun.elapsed(), &summary);
        Ok(result)
    }

    /// Reads the image and checks that its parts belong together.
    fn load(&mut self) -> Result<Loaded> {
        let image = self.image;
        self.step("image", || {
            let (root, tree, uki) = (read(&image.root)?, read(&image.verity)?, read(&image.uki)?);
            let failed = |source| {
                ReleaseError::Image(ClientError::Verity {
                    path: image.verity.display().to_string(),
                    source,
                })
            };
            let superblock =
                verify(Cursor::new(&root), &tree[..], &image.root_hash).map_err(failed)?;
            let (_, leaves) =
                disk_format::verity::read_digests(&tree[..], &image.root_hash).map_err(failed)?;
            let summary = format!(
                "{} MB, root hash {:.16}",
                root.len() / 1_000_000,
                image.root_hash.to_string()
            );
            let tree = Tree {
                bytes: tree,
                salt: superblock.salt,
                leaves,
                fetched_bytes: 0,
            };
            Ok((Loaded { root, tree, uki }, summary))
        })
    }

    fn path(&self, name: &str) -> String {
        format!("files/{}-{}/{name}", self.image.product, self.image.version)
    }

    /// Writes the files of the release, and the manifest so far.
    fn compress(&mut self, loaded: &Loaded, earlier: &[Manifest]) -> Result<(Manifest, SeekTable)> {
        let folder = crate::directory::local(self.directory, self.path("").trim_end_matches('/'));
        if folder.exists() {
            // Left by a release that was interrupted: no metadata names it.
            fs::remove_dir_all(&folder).map_err(|e| ReleaseError::io("remove", &folder, e))?;
        }
        make_directory(&folder)?;
        let (options, image) = (self.options, self.image);
        let failed = |e| compress_error(&image.root, e);
        let full = self.step("whole", || {
            let bytes = whole(&loaded.root, options.level).map_err(failed)?;
            let file = store(self.directory, &self.path("root.zst"), &bytes)?;
            let summary = size(file.length);
            Ok((file, summary))
        })?;
        let (frames_file, index, table) = self.step("frames", || {
            let lengths = self.frame_lengths(loaded, earlier)?;
            let made = frames(&loaded.root, &lengths, options.level);
            let (bytes, table) = made.map_err(|e| compress_error(&image.root, e))?;
            let file = store(self.directory, &self.path("root.frames.zst"), &bytes)?;
            let index = whole(&table.to_bytes(), options.level).map_err(failed)?;
            let index = store(self.directory, &self.path("root.index.zst"), &index)?;
            let summary = format!("{}, {} frames", size(file.length), table.frames().len());
            Ok(((file, index, table), summary))
        })?;
        let root = Root {
            length: loaded.root.len() as u64,
            full,
            frames: frames_file,
            index,
        };
        Ok((self.manifest(loaded, root)?, table))
    }

    /// Where frames end, so that machines with one of the last releases fetch little else than what they lack.
    fn frame_lengths(&self, loaded: &Loaded, earlier: &[Manifest]) -> Result<Vec<usize>> {
        let mut leaves = Vec::new();
        for manifest in earlier.iter().take(self.options.deltas) {
            leaves.push(read_tree(self.directory, manifest)?.leaves);
        }
        let earlier: Vec<&[Digest]> = leaves.iter().map(Vec::as_slice).collect();
        let usual = self.options.frame_length;
        Ok(frame_lengths(&loaded.tree.leaves, &earlier, usual))
    }

    fn manifest(&self, loaded: &Loaded, root: Root) -> Result<Manifest> {
        let image = self.image;
        let verity = store(
            self.directory,
            &self.path("root.verity"),
            &loaded.tree.bytes,
        )?;
        let parts = update_client::boot_image::parts(&loaded.uki).map_err(|source| {
            ReleaseError::Image(ClientError::BootImage {
                path: image.uki.display().to_string(),
                source,
            })
        })?;
        let released = Timestamp::from_second(self.options.now.as_second());
        Ok(Manifest {
            format: FORMAT,
            product: image.product.clone(),
            architecture: image.architecture.clone(),
            version: image.version.clone(),
            released: released.map_err(|e| ReleaseError::metadata("the time", e))?,
            root_hash: image.root_hash,
            root,
            verity,
            uki: BootImage {
                file: store(self.directory, &self.path("keelson.efi"), &loaded.uki)?,
                parts,
            },
            deltas: Vec::new(),
            packages: image.packages.clone(),
            changelog: None,
        })
    }

    /// Makes the deltas that are worth it.
    fn deltas(
        &mut self,
        manifest: &mut Manifest,
        loaded: &Loaded,
        table: &SeekTable,
        earlier: &[Manifest],
    ) -> Result<Vec<LeftOut>> {
        let mut left_out = Vec::new();
        for old in earlier.iter().take(self.options.deltas) {
            let outcome = self.step("delta", || {
                let base = Loaded::read(self.directory, old)?;
                let (old, new) = ((old, &base), (&*manifest, loaded));
                let outcome = make(self.directory, old, new, table, self.options.level)?;
                let summary = summary(&old.0.version, &outcome);
                Ok((outcome, summary))
            })?;
            match outcome {
                Outcome::Offered(delta) => manifest.deltas.push(delta),
                Outcome::NotWorthIt { bytes, instead } => left_out.push(LeftOut {
                    from: old.version.clone(),
                    bytes,
                    instead: instead.bytes,
                }),
            }
        }
        Ok(left_out)
    }
}

fn summary(from: &Version, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Offered(delta) => format!("{} from {from}", size(delta.file.length)),
        Outcome::NotWorthIt { bytes, instead } => format!(
            "none from {from}: {} against {} by {}",
            size(*bytes),
            size(instead.bytes),
            instead.method
        ),
    }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    if bytes < 10_000_000 {
        format!("{} KB", bytes.div_ceil(1000))
    } else {
        format!("{} MB", bytes / 1_000_000)
    }
}

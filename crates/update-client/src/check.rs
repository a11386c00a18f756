//! Checking a whole release directory as a machine would, and more: every channel, every release, every
//! file of it, and that every way to fetch it gives the same bytes.
//!
//! Reads everything once or twice; holds one root at a time in memory, and the old one under a delta.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use disk_format::uki;
use disk_format::verity::Digest;
use seekable_zstd::{SeekTable, decompress_frame};
use sha2::{Digest as _, Sha256};
use tough::schema::{Root, Signed};
use update_model::channel::Channel;
use update_model::digest::FileDigest;
use update_model::manifest::{DOCUMENT_LENGTH_MAX, Delta, File, Manifest};

use crate::boot_image;
use crate::delta::{Base, OpenDelta};
use crate::download::{fetch, hash};
use crate::error::{ClientError, Result};
use crate::repository::{METADATA_FOLDER, Repository};
use crate::root::{Installed, decoder, parse_index};
use crate::slot_writer::SlotWriter;
use crate::source::{Source, fetch_error, open};
use crate::tree::Tree;

/// What was found out about one file or release.
#[derive(Debug)]
pub enum Finding {
    /// It is as it must be.
    Good(String),
    /// It is not.
    Bad(ClientError),
}

/// Called with each finding as it is made.
pub type Findings<'a> = &'a mut dyn FnMut(Finding);

/// Checks everything that the metadata leads to, and returns how many findings are bad.
///
/// `trusted_root` is what the repository was loaded with: machines that trust an older root follow the chain,
/// so all of it is checked.
pub fn check(
    repository: &Repository,
    source: &dyn Source,
    trusted_root: &[u8],
    findings: Findings<'_>,
) -> usize {
    let mut bad = 0;
    let mut note = |result: Result<String>| match result {
        Ok(text) => findings(Finding::Good(text)),
        Err(error) => {
            bad += 1;
            findings(Finding::Bad(error));
        }
    };
    note(check_roots(repository, source, trusted_root));
    let (channels, manifests) = documents(repository, &mut note);
    for channel in &channels {
        note(check_channel(channel, &manifests));
    }
    for manifest in manifests.values() {
        for file in manifest.files() {
            note(check_file(source, file).map(|()| file.path.clone()));
        }
        note(check_contents(source, manifest));
        for delta in &manifest.deltas {
            note(check_delta(source, manifest, delta, &manifests));
        }
    }
    bad
}

/// That each root is signed by the one before and by itself, and the trusted one is among them.
fn check_roots(repository: &Repository, source: &dyn Source, trusted: &[u8]) -> Result<String> {
    let newest = repository.root().signed.version.get();
    let mut before: Option<Signed<Root>> = None;
    let mut has_trusted = false;
    for version in 1..=newest {
        let path = format!("{METADATA_FOLDER}/{version}.root.json");
        let bad = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Metadata {
            file: path.clone(),
            source,
        };
        let mut bytes = Vec::new();
        open(source, &path, None)?
            .take(DOCUMENT_LENGTH_MAX)
            .read_to_end(&mut bytes)
            .map_err(|e| fetch_error(source, &path, e))?;
        let root: Signed<Root> = serde_json::from_slice(&bytes).map_err(|e| bad(Box::new(e)))?;
        let signers = before.as_ref().unwrap_or(&root);
        signers
            .signed
            .verify_role(&root)
            .map_err(|e| bad(Box::new(e)))?;
        root.signed
            .verify_role(&root)
            .map_err(|e| bad(Box::new(e)))?;
        if root.signed.version.get() != version {
            return Err(bad(format!("it is version {}", root.signed.version).into()));
        }
        has_trusted |= bytes == trusted;
        before = Some(root);
    }
    if has_trusted {
        return Ok(format!("{newest} roots, each signed by the one before"));
    }
    Err(ClientError::Metadata {
        file: format!("{METADATA_FOLDER}/1.root.json"),
        source: "the trusted root is not among the directory's".into(),
    })
}

type Manifests = BTreeMap<String, Manifest>;

/// Reads every target; a name with two dots at least is a channel's.
fn documents(
    repository: &Repository,
    note: &mut dyn FnMut(Result<String>),
) -> (Vec<Channel>, Manifests) {
    let (mut channels, mut manifests) = (Vec::new(), BTreeMap::new());
    for name in repository.targets() {
        let read = if let Some((product, channel)) = channel_name(&name) {
            repository
                .channel(product, channel)
                .map(|channel| channels.push(channel))
        } else {
            repository.manifest(&name).map(|manifest| {
                manifests.insert(name.clone(), manifest);
            })
        };
        note(read.map(|()| repository.target_path(&name).unwrap_or_default()));
    }
    (channels, manifests)
}

/// Product and channel of `PRODUCT.CHANNEL.json`; a manifest's name has a `-` behind the product.
fn channel_name(target: &str) -> Option<(&str, &str)> {
    let (product, channel) = target.strip_suffix(".json")?.split_once('.')?;
    let is_name = update_model::manifest::is_name;
    (is_name(product) && is_name(channel)).then_some((product, channel))
}

fn check_channel(channel: &Channel, manifests: &Manifests) -> Result<String> {
    for offer in &channel.releases {
        let manifest = manifests.get(&offer.manifest);
        let manifest = manifest.ok_or_else(|| ClientError::NoTarget(offer.manifest.clone()))?;
        let is_same = manifest.version == offer.version
            && manifest.product == channel.product
            && manifest.root_hash == offer.root_hash;
        if !is_same {
            return Err(ClientError::OtherRelease {
                path: offer.manifest.clone(),
                found: format!("{} with root hash {}", manifest.version, manifest.root_hash),
                expected: format!("{} with root hash {}", offer.version, offer.root_hash),
            });
        }
    }
    let (name, product) = (&channel.channel, &channel.product);
    Ok(format!(
        "channel {name} of {product}: {} releases",
        channel.releases.len()
    ))
}

/// Length and digest.
fn check_file(source: &dyn Source, file: &File) -> Result<()> {
    let mut hasher = Sha256::new();
    let limit = file.length.saturating_add(1);
    let mut body = open(source, &file.path, None)?.take(limit);
    let found = hash(&mut body, &mut hasher).map_err(|e| fetch_error(source, &file.path, e))?;
    if found != file.length {
        return Err(ClientError::Length {
            path: file.path.clone(),
            found,
            expected: file.length,
        });
    }
    crate::download::check_digest(file, hasher.finalize().into())
}

/// That tree, whole root, frames and kernel image are of one release.
fn check_contents(source: &dyn Source, manifest: &Manifest) -> Result<String> {
    let tree = Tree::check(fetch(source, &manifest.verity)?, manifest, 0)?;
    read_root(source, manifest, &tree)?;
    check_frames(source, manifest, &tree)?;
    check_boot_image(manifest, &fetch(source, &manifest.uki.file)?)?;
    let (product, version) = (&manifest.product, &manifest.version);
    Ok(format!(
        "{product} {version}: root, frames, hash tree and kernel image belong together"
    ))
}

/// The root, decompressed and checked against its tree.
fn read_root(source: &dyn Source, manifest: &Manifest, tree: &Tree) -> Result<Vec<u8>> {
    let file = &manifest.root.full;
    let body = open(source, &file.path, Some(0..file.length))?;
    let mut root = Vec::new();
    decoder(body, &file.path)?
        .take(manifest.root.length + 1)
        .read_to_end(&mut root)
        .map_err(|source| ClientError::Decompress {
            path: file.path.clone(),
            source,
        })?;
    check_blocks(&file.path, &root, 0, &tree.leaves, &tree.salt)?;
    if root.len() as u64 != manifest.root.length {
        let problem = format!(
            "it decompresses to more than {} bytes",
            manifest.root.length
        );
        return Err(contents(&file.path, problem));
    }
    Ok(root)
}

/// Blocks from the number `first` on, against all leaves or as many as the data has.
fn check_blocks(
    path: &str,
    data: &[u8],
    first: usize,
    leaves: &[Digest],
    salt: &[u8],
) -> Result<()> {
    let mut found = disk_format::verity::hash_blocks(salt, data);
    let expected = leaves.iter().skip(first).take(data.len().div_ceil(4096));
    for (index, leaf) in expected.enumerate() {
        if found.next().as_ref() != Some(leaf) {
            let problem = format!("block {} is not what the hash tree says", first + index);
            return Err(contents(path, problem));
        }
    }
    Ok(())
}

fn contents(path: &str, problem: String) -> ClientError {
    ClientError::Contents {
        path: path.to_owned(),
        problem,
    }
}

fn check_frames(source: &dyn Source, manifest: &Manifest, tree: &Tree) -> Result<()> {
    let file = &manifest.root.frames;
    let table = parse_index(manifest, &fetch(source, &manifest.root.index)?)?;
    let mut body = open(source, &file.path, Some(0..file.length))?;
    let mut read = |length: u64| {
        let mut bytes = Vec::new();
        let read = (&mut body).take(length).read_to_end(&mut bytes);
        read.map_err(|e| fetch_error(source, &file.path, e))?;
        Ok(bytes)
    };
    for frame in table.frames() {
        let compressed = read(frame.compressed_length.into())?;
        let data =
            decompress_frame(&compressed, frame.length).map_err(|source| ClientError::Frames {
                path: file.path.clone(),
                source,
            })?;
        let first = usize::try_from(frame.offset / 4096).unwrap_or(usize::MAX);
        check_blocks(&file.path, &data, first, &tree.leaves, &tree.salt)?;
    }
    let length = SeekTable::encoded_length(table.frames().len()) as u64;
    if read(length)? != table.to_bytes() {
        return Err(contents(
            &file.path,
            "it does not end in its index".to_owned(),
        ));
    }
    Ok(())
}

/// That the image boots this root, and that its parts are what the manifest says.
fn check_boot_image(manifest: &Manifest, image: &[u8]) -> Result<()> {
    let path = &manifest.uki.file.path;
    let failed = |source| ClientError::BootImage {
        path: path.clone(),
        source,
    };
    let sections = uki::sections(image).map_err(failed)?;
    let command_line = sections.iter().find(|(name, _)| name == ".cmdline");
    let command_line = command_line.map_or(&[][..], |(_, range)| &image[range.clone()]);
    let wanted = format!("keelson.roothash={}", manifest.root_hash);
    let text = String::from_utf8_lossy(command_line);
    let mut words = text.split(|c: char| c.is_whitespace() || c == '\0');
    if !words.any(|word| word == wanted) {
        return Err(contents(path, format!("its command line has no {wanted}")));
    }
    if boot_image::parts(image).map_err(failed)? != manifest.uki.parts {
        return Err(contents(
            path,
            "its parts are not what the manifest says".to_owned(),
        ));
    }
    Ok(())
}

/// That a delta gives the release, from the old one in the same directory.
fn check_delta(
    source: &dyn Source,
    manifest: &Manifest,
    delta: &Delta,
    manifests: &Manifests,
) -> Result<String> {
    let path = &delta.file.path;
    let old = manifests.get(&Manifest::target_name(&manifest.product, &delta.from));
    let Some(old) = old else {
        return Ok(format!(
            "{path}: {} is not here, so it was not applied",
            delta.from
        ));
    };
    let tree = Tree::check(fetch(source, &old.verity)?, old, 0)?;
    let root = read_root(source, old, &tree)?;
    let uki = fetch(source, &old.uki.file)?;
    let mut base = Base {
        root_hash: old.root_hash,
        installed: Installed {
            root: Cursor::new(root),
            leaves: tree.leaves,
        },
        tree: &tree.bytes,
        uki: &uki,
    };
    let file = Cursor::new(fetch(source, &delta.file)?);
    let mut open = OpenDelta::new(file, delta, manifest, &base)?;
    let tree = open.tree(&base)?;
    open.boot_image(&base)?;
    let slot = Cursor::new(Vec::new());
    let mut writer = SlotWriter::new(slot, &tree.leaves, &tree.salt)?;
    open.write_root(&mut base, &tree, &mut writer, &mut |_| ())?;
    Ok(format!("{path} gives {}", manifest.version))
}

/// The digest of bytes.
pub fn digest(bytes: &[u8]) -> FileDigest {
    FileDigest(Sha256::digest(bytes).into())
}

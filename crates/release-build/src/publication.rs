//! Signing a release directory's documents and writing the metadata, the timestamp last.
//!
//! Whoever reads the directory meanwhile, or after a power cut, finds the old state or the new one.

use std::collections::HashMap;
use std::num::NonZeroU64;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use tough::TargetName;
use tough::schema::{
    Hashes, Metafile, RoleType, Root, Snapshot, Target, Targets, Timestamp as TimestampRole,
};
use update_client::repository::TARGETS_FOLDER;

use crate::directory::{Documents, ReleaseDirectory};
use crate::error::{ReleaseError, Result, make_directory, read, write};
use crate::keys::KeyFolders;
use crate::root_metadata::{load_newest, root_path};
use crate::signing_key::{SigningKey, sign};

const SPECIFICATION: &str = "1.0.0";

/// How long metadata holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of targets.
    pub targets: SignedDuration,
    /// Of snapshot and timestamp: whoever serves an old state can do so for so long.
    pub snapshot: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            targets: SignedDuration::from_hours(365 * 24),
            snapshot: SignedDuration::from_hours(90 * 24),
        }
    }
}

/// What signs.
#[derive(Debug)]
struct Signers {
    targets: Vec<SigningKey>,
    snapshot: Vec<SigningKey>,
    timestamp: Vec<SigningKey>,
}

impl Signers {
    fn load(keys: &KeyFolders, root: &Root) -> Result<Self> {
        Ok(Self {
            targets: keys.signers(root, RoleType::Targets)?,
            snapshot: keys.signers(root, RoleType::Snapshot)?,
            timestamp: keys.signers(root, RoleType::Timestamp)?,
        })
    }
}

/// Fails now if keys are missing that [`publish`] will need.
pub fn check_keys(keys: &KeyFolders) -> Result<()> {
    let root = load_newest(&keys.folder)?;
    Signers::load(keys, &root).map(|_| ())
}

/// Signs these documents and writes them with their metadata.
pub fn publish(
    directory: &ReleaseDirectory,
    keys: &KeyFolders,
    documents: &Documents,
    lifetimes: Lifetimes,
    now: Timestamp,
) -> Result<()> {
    let root = load_newest(&keys.folder)?;
    let signers = Signers::load(keys, &root)?;
    make_directory(&directory.metadata())?;
    let [targets, snapshot, timestamp] = documents.versions.map(next_version);
    let metadata = directory.metadata();

    let role = write_targets(
        directory,
        documents,
        targets,
        later(now, lifetimes.targets)?,
    )?;
    let targets_file = sign(role, &references(&signers.targets))?;
    write(
        &metadata.join(format!("{targets}.targets.json")),
        &targets_file,
    )?;

    let expires = later(now, lifetimes.snapshot)?;
    let mut role = Snapshot::new(SPECIFICATION.to_owned(), snapshot, expires);
    role.meta
        .insert("targets.json".to_owned(), metafile(targets, &targets_file));
    let snapshot_file = sign(role, &references(&signers.snapshot))?;
    write(
        &metadata.join(format!("{snapshot}.snapshot.json")),
        &snapshot_file,
    )?;

    let mut role = TimestampRole::new(SPECIFICATION.to_owned(), timestamp, expires);
    role.meta.insert(
        "snapshot.json".to_owned(),
        metafile(snapshot, &snapshot_file),
    );
    let timestamp_file = sign(role, &references(&signers.timestamp))?;
    // Under a new root an old timestamp may not hold: the two come as close together as can be.
    write_roots(directory, keys, &root)?;
    write(&metadata.join("timestamp.json"), &timestamp_file)
}

fn references(keys: &[SigningKey]) -> Vec<&SigningKey> {
    keys.iter().collect()
}

fn next_version(version: u64) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(version)
}

fn later(now: Timestamp, lifetime: SignedDuration) -> Result<Timestamp> {
    // Whole seconds: finer ones would only make files longer.
    let seconds = now.as_second();
    Timestamp::from_second(seconds)
        .and_then(|now| now.checked_add(lifetime))
        .map_err(|e| ReleaseError::metadata("a lifetime", e))
}

/// Copies the chain of roots.
fn write_roots(directory: &ReleaseDirectory, keys: &KeyFolders, newest: &Root) -> Result<()> {
    for version in 1..=newest.version.get() {
        let root = read(&root_path(&keys.folder, version))?;
        let target = root_path(&directory.metadata(), version);
        if !target.exists() || read(&target)? != root {
            write(&target, &root)?;
        }
    }
    Ok(())
}

/// Writes the documents under their digests, and makes the role that lists them.
fn write_targets(
    directory: &ReleaseDirectory,
    documents: &Documents,
    version: NonZeroU64,
    expires: Timestamp,
) -> Result<Targets> {
    let folder = directory.path.join(TARGETS_FOLDER);
    make_directory(&folder)?;
    let mut role = Targets::new(SPECIFICATION.to_owned(), version, expires);
    for (name, bytes) in &documents.targets {
        let hashes = hashes(bytes);
        let digest = update_client::check::digest(bytes);
        let path = folder.join(format!("{digest}.{name}"));
        if !path.exists() || read(&path)? != *bytes {
            write(&path, bytes)?;
        }
        let target_name = TargetName::new(name.as_str());
        let target_name = target_name.map_err(|e| ReleaseError::metadata(name.as_str(), e))?;
        let target = Target {
            length: bytes.len() as u64,
            hashes,
            custom: HashMap::new(),
            _extra: HashMap::new(),
        };
        role.targets.insert(target_name, target);
    }
    Ok(role)
}

fn hashes(bytes: &[u8]) -> Hashes {
    Hashes {
        sha256: Sha256::digest(bytes).to_vec().into(),
        _extra: HashMap::new(),
    }
}

fn metafile(version: NonZeroU64, bytes: &[u8]) -> Metafile {
    Metafile {
        length: Some(bytes.len() as u64),
        hashes: Some(hashes(bytes)),
        version,
        _extra: HashMap::new(),
    }
}

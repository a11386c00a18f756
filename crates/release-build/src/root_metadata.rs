//! The chain of root metadata in a directory of keys: `1.root.json`, `2.root.json` and so on.
//!
//! The newest says which keys sign; each is signed by the keys of the one before too.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{RoleKeys, RoleType, Root, Signed};

use crate::error::{ReleaseError, Result, names, read};
use crate::signing_key::SigningKey;

/// The roles whose keys we keep, in the order in which they are made.
pub const ROLES: [RoleType; 4] = [
    RoleType::Root,
    RoleType::Targets,
    RoleType::Snapshot,
    RoleType::Timestamp,
];

/// How many keys a role has, and how many of them must sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// How many there are.
    pub keys: u64,
    /// How many must sign.
    pub signatures: u64,
}

impl Threshold {
    /// # Errors
    /// If nobody, or more than there are, would have to sign.
    pub(crate) fn check(self, role: RoleType) -> Result<NonZeroU64> {
        NonZeroU64::new(self.signatures)
            .filter(|threshold| threshold.get() <= self.keys)
            .ok_or(ReleaseError::BadThreshold {
                role: role.to_string(),
                threshold: self.signatures,
                keys: self.keys,
            })
    }
}

/// Where a version of the root stands in a folder.
pub fn root_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("{version}.root.json"))
}

/// The newest version in a folder; 0 if there is none.
pub fn newest_version(folder: &Path) -> Result<u64> {
    let names = names(folder)?;
    let versions = names
        .iter()
        .filter_map(|name| name.strip_suffix(".root.json")?.parse().ok());
    Ok(versions.max().unwrap_or(0))
}

/// Reads a version of the root.
pub fn load(folder: &Path, version: u64) -> Result<Signed<Root>> {
    let path = root_path(folder, version);
    serde_json::from_slice(&read(&path)?)
        .map_err(|e| ReleaseError::metadata(path.display().to_string(), e))
}

/// Reads the newest root.
pub fn load_newest(folder: &Path) -> Result<Root> {
    match newest_version(folder)? {
        0 => Err(ReleaseError::NoKeys(folder.into())),
        version => Ok(load(folder, version)?.signed),
    }
}

/// A first root with these keys.
pub(crate) fn first(keys: &[(RoleType, NonZeroU64, Vec<SigningKey>)], expires: Timestamp) -> Root {
    let mut root = Root {
        spec_version: "1.0.0".to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::MIN,
        expires,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    for (role, threshold, keys) in keys {
        set_keys(&mut root, *role, *threshold, keys);
    }
    root
}

/// Gives a role these keys and no others; keys that no role has any more are dropped.
pub(crate) fn set_keys(
    root: &mut Root,
    role: RoleType,
    threshold: NonZeroU64,
    keys: &[SigningKey],
) {
    let mut keyids: Vec<Decoded<Hex>> = keys.iter().map(|key| key.id.clone()).collect();
    keyids.sort();
    for key in keys {
        root.keys.insert(key.id.clone(), key.key.clone());
    }
    let role_keys = RoleKeys {
        keyids,
        threshold,
        _extra: HashMap::new(),
    };
    root.roles.insert(role, role_keys);
    let Root { keys, roles, .. } = root;
    keys.retain(|id, _| roles.values().any(|role| role.keyids.contains(id)));
}

/// The ids of a role's keys, and how many of them must sign.
pub(crate) fn role_keys(root: &Root, role: RoleType) -> (&[Decoded<Hex>], u64) {
    root.roles
        .get(&role)
        .map_or((&[], u64::MAX), |keys| (&keys.keyids, keys.threshold.get()))
}

//! A directory of keys: one file a key, `ROLE-NUMBER.pem`, beside the chain of roots that names them.
//!
//! Root keys belong elsewhere than the others, on something that is put away: they may stand in a folder
//! of their own. Nothing is overwritten; keys that are replaced move to `retired`.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tough::schema::{RoleType, Root};

use crate::error::{ReleaseError, Result, make_directory, names, write};
use crate::root_metadata::{
    ROLES, Threshold, first, load_newest, newest_version, role_keys, root_path, set_keys,
};
use crate::signing_key::{SigningKey, sign};

/// Where keys are.
#[derive(Clone, Debug)]
pub struct KeyFolders {
    /// Keys of targets, snapshot and timestamp, and the chain of roots.
    pub folder: PathBuf,
    /// Keys of the root.
    pub root_folder: PathBuf,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeys {
    /// The new root's version.
    pub root_version: u64,
    /// Its file.
    pub root: PathBuf,
    /// The files of new keys.
    pub created: Vec<PathBuf>,
    /// Where keys were moved that sign no more.
    pub retired: Vec<PathBuf>,
}

impl KeyFolders {
    fn of(&self, role: RoleType) -> &Path {
        if role == RoleType::Root {
            &self.root_folder
        } else {
            &self.folder
        }
    }

    /// Makes keys for all roles, and the first root.
    pub fn create(
        &self,
        thresholds: impl Fn(RoleType) -> Threshold,
        expires: Timestamp,
    ) -> Result<NewKeys> {
        if newest_version(&self.folder)? > 0 {
            return Err(ReleaseError::KeysExist(self.folder.clone()));
        }
        let mut made = Vec::new();
        let mut created = Vec::new();
        for role in ROLES {
            thresholds(role).check(role)?;
        }
        for role in ROLES {
            let threshold = thresholds(role);
            let (keys, files) = self.make_keys(role, threshold.keys)?;
            created.extend(files);
            made.push((role, threshold.check(role)?, keys));
        }
        let root = first(&made, expires);
        let signers: Vec<&SigningKey> = made[0].2.iter().collect();
        self.write_root(root, &signers, created)
    }

    /// Replaces all keys of a role by as many new ones; the new root is signed by the old root keys too.
    pub fn rotate(&self, role: RoleType, expires: Timestamp) -> Result<NewKeys> {
        let old = load_newest(&self.folder)?;
        let root_keys = self.signers(&old, RoleType::Root)?;
        let (old_ids, threshold) = role_keys(&old, role);
        let count = old_ids.len() as u64;
        let threshold = Threshold {
            keys: count,
            signatures: threshold,
        };
        let threshold = threshold.check(role)?;
        let replaced = self.files_of(&old, role)?;
        let (new_keys, created) = self.make_keys(role, count)?;
        let mut root = old;
        root.version = root.version.saturating_add(1);
        root.expires = expires;
        set_keys(&mut root, role, threshold, &new_keys);
        let mut signers: Vec<&SigningKey> = root_keys.iter().collect();
        if role == RoleType::Root {
            signers.extend(&new_keys);
        }
        let mut new = self.write_root(root, &signers, created)?;
        // Last: until now the old keys could still sign.
        for path in replaced {
            new.retired.push(retire(&path)?);
        }
        Ok(new)
    }

    /// The keys of a role that the root names, as many as are here.
    ///
    /// # Errors
    /// If they are too few to sign.
    pub fn signers(&self, root: &Root, role: RoleType) -> Result<Vec<SigningKey>> {
        let (_, needed) = role_keys(root, role);
        let files = self.files_of(root, role)?;
        let keys: Vec<SigningKey> = files
            .iter()
            .map(|path| SigningKey::load(path))
            .collect::<Result<_>>()?;
        if (keys.len() as u64) < needed {
            return Err(ReleaseError::TooFewKeys {
                role: role.to_string(),
                found: keys.len(),
                needed,
                folder: self.of(role).into(),
            });
        }
        Ok(keys)
    }

    /// The files of those keys of a role that the root names.
    fn files_of(&self, root: &Root, role: RoleType) -> Result<Vec<PathBuf>> {
        let (ids, _) = role_keys(root, role);
        let mut files = Vec::new();
        for name in key_files(self.of(role), role)? {
            let path = self.of(role).join(name);
            if ids.contains(&SigningKey::load(&path)?.id) {
                files.push(path);
            }
        }
        Ok(files)
    }

    fn make_keys(&self, role: RoleType, count: u64) -> Result<(Vec<SigningKey>, Vec<PathBuf>)> {
        let folder = self.of(role);
        make_directory(folder)?;
        let numbers = [folder.to_owned(), folder.join(RETIRED)];
        let mut last = 0;
        for folder in numbers {
            let numbers = key_files(&folder, role)?;
            last = numbers
                .iter()
                .filter_map(|name| number(name, role))
                .fold(last, u64::max);
        }
        let (mut keys, mut files) = (Vec::new(), Vec::new());
        for number in last + 1..=last + count {
            let path = folder.join(format!("{role}-{number}.pem"));
            keys.push(SigningKey::create(&path)?);
            files.push(path);
        }
        Ok((keys, files))
    }

    fn write_root(
        &self,
        root: Root,
        signers: &[&SigningKey],
        created: Vec<PathBuf>,
    ) -> Result<NewKeys> {
        make_directory(&self.folder)?;
        let root_version = root.version.get();
        let path = root_path(&self.folder, root_version);
        write(&path, &sign(root, signers)?)?;
        Ok(NewKeys {
            root_version,
            root: path,
            created,
            retired: Vec::new(),
        })
    }
}

/// Below a folder of keys: what signs no more.
const RETIRED: &str = "retired";

fn number(name: &str, role: RoleType) -> Option<u64> {
    let number = name
        .strip_prefix(&format!("{role}-"))?
        .strip_suffix(".pem")?;
    number.parse().ok()
}

/// Names of the files of a role's keys.
fn key_files(folder: &Path, role: RoleType) -> Result<Vec<String>> {
    let mut files = names(folder)?;
    files.retain(|name| number(name, role).is_some());
    Ok(files)
}

fn retire(path: &Path) -> Result<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(".")).join(RETIRED);
    make_directory(&folder)?;
    let target = folder.join(path.file_name().unwrap_or_default());
    fs::rename(path, &target).map_err(|e| ReleaseError::io("move", path, e))?;
    Ok(target)
}

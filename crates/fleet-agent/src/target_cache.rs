//! What the machine was told to have, on disk: for a boot without the store.
//!
//! One file for each unit in `/var/lib/fleet/targets`. What it means is decided elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use fleet_store::{Contents, Target};
use machine_facts::system_root::SystemRoot;
use serde::{Deserialize, Serialize};
use systemd_unit::UnitName;

const FOLDER: &str = "/var/lib/fleet/targets";

/// A target, with all that is needed to carry it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CachedTarget {
    /// What was wanted.
    pub(crate) target: Target,
    /// Of the unit.
    pub(crate) contents: Contents,
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct TargetCache {
    root: SystemRoot,
}

impl TargetCache {
    pub(crate) fn new(root: SystemRoot) -> Self {
        Self { root }
    }

    /// All that can be read. A damaged file is as good as none: the store knows better.
    pub(crate) fn read_all(&self) -> BTreeMap<UnitName, CachedTarget> {
        // No folder is no targets.
        let names = self.root.list(FOLDER).unwrap_or_default();
        let names = names
            .into_iter()
            .filter_map(|name| UnitName::new(name).ok());
        let read = |name: UnitName| match self.read(&name) {
            Ok(target) => Some((name, target)),
            Err(error) => {
                tracing::warn!("{}: {error}", path_of(&name));
                None
            }
        };
        names.filter_map(read).collect()
    }

    /// Of one unit.
    pub(crate) fn read(&self, name: &UnitName) -> io::Result<CachedTarget> {
        let text = fs::read(self.root.path(&path_of(name)))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Durable when it returns.
    pub(crate) fn write(&self, name: &UnitName, target: &CachedTarget) -> io::Result<()> {
        let text = serde_json::to_string(target)?;
        self.root.replace_durably(&path_of(name), &text)
    }

    /// One that is not there is no error.
    pub(crate) fn remove(&self, name: &UnitName) -> io::Result<()> {
        match fs::remove_file(self.root.path(&path_of(name))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn path_of(name: &UnitName) -> String {
    format!("{FOLDER}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_model::State;

    #[test]
    fn targets_are_read_back_and_damage_is_left_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = TargetCache::new(SystemRoot::new(folder.path()));
        let name = |text: &str| UnitName::new(text).expect("a name");
        let target = CachedTarget {
            target: Target {
                hash: "ab".to_owned(),
                desired: State::Launched,
                replacing: vec![name("b.service")],
            },
            contents: Contents {
                file: "[Service]\n".to_owned(),
                drop_ins: Vec::new(),
            },
        };
        assert!(cache.read_all().is_empty());
        for unit in ["a.service", "b.service", "c.service"] {
            cache.write(&name(unit), &target).expect("written");
        }
        cache.remove(&name("b.service")).expect("removed");
        cache.remove(&name("b.service")).expect("removed already");
        let damaged = folder.path().join("var/lib/fleet/targets/c.service");
        fs::write(damaged, "{").expect("written");
        assert_eq!(cache.read_all(), [(name("a.service"), target)].into());
    }
}

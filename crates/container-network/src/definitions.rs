//! Networks as files: an administrator's in one folder, those that commands make in another.
//!
//! An administrator's hides one of its name that a command made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use container_model::name::Name;
use container_model::network::NetworkDefinition;

use crate::error::Error;
use crate::file;

const EXTENSION: &str = "toml";

/// The file of a network.
pub(crate) fn path(folder: &Path, name: &Name) -> PathBuf {
    folder.join(format!("{name}.{EXTENSION}"))
}

/// All networks of the folders, by name; those of earlier ones count.
pub(crate) fn all(folders: [&Path; 2]) -> Result<BTreeMap<Name, NetworkDefinition>, Error> {
    let mut found = BTreeMap::new();
    for folder in folders {
        for (stem, text) in file::read_all(folder, EXTENSION)? {
            // What has no network's name is not one.
            let Ok(name) = stem.parse::<Name>() else {
                continue;
            };
            let read = NetworkDefinition::parse(name.clone(), &text);
            let network = read.map_err(|reason| Error::Definition {
                path: path(folder, &name),
                reason: Box::new(reason),
            })?;
            found.entry(name).or_insert(network);
        }
    }
    Ok(found)
}

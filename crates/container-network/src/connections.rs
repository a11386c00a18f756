//! Which containers are in which networks: a file for each container, in a folder that a restart of the machine empties.
//!
//! A file is there before anything is set up and until everything is taken down.

use std::path::{Path, PathBuf};

use container_model::name::Name;
use container_model::network::Connection;

use crate::error::Error;
use crate::file;

const EXTENSION: &str = "json";

fn path(folder: &Path, container: &Name) -> PathBuf {
    folder.join(format!("{container}.{EXTENSION}"))
}

/// Whether there is one of a container.
pub(crate) fn exists(folder: &Path, container: &Name) -> bool {
    path(folder, container).exists()
}

/// All of them. A file that cannot be read is an error: what it holds is set up and could be given away twice.
pub(crate) fn all(folder: &Path) -> Result<Vec<Connection>, Error> {
    let mut found = Vec::new();
    for (stem, text) in file::read_all(folder, EXTENSION)? {
        let read = serde_json::from_str::<Vec<Connection>>(&text);
        found.extend(read.map_err(|error| {
            Error::io(folder.join(format!("{stem}.{EXTENSION}")))(error.into())
        })?);
    }
    Ok(found)
}

/// Writes down all of one container.
pub(crate) fn write(
    folder: &Path,
    container: &Name,
    connections: &[Connection],
) -> Result<(), Error> {
    let path = path(folder, container);
    let text =
        serde_json::to_string(connections).map_err(|error| Error::io(&path)(error.into()))?;
    file::replace(&path, &text)
}

/// Forgets those of one container.
pub(crate) fn remove(folder: &Path, container: &Name) -> Result<(), Error> {
    file::remove(&path(folder, container))
}

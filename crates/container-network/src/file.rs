//! Files that appear under their name whole, and on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::Error;

/// Replaces a file, whatever happens: what is there is the old one or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    // A name with a dot before it is no network's and no container's.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.new"));
    let parent = path.parent().unwrap_or(Path::new("/"));
    write_durably(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(parent)?.sync_all())
        .map_err(Error::io(path))
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Removes a file; that there is none is no error.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

/// The contents of every `*.EXTENSION` that a folder has, by name; none if there is no folder.
pub(crate) fn read_all(folder: &Path, extension: &str) -> Result<Vec<(String, String)>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io(folder))?.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            continue;
        };
        if let Some(stem) = name
            .strip_suffix(extension)
            .and_then(|stem| stem.strip_suffix('.'))
        {
            let path = folder.join(name);
            found.push((
                stem.to_owned(),
                fs::read_to_string(&path).map_err(Error::io(&path))?,
            ));
        }
    }
    found.sort();
    Ok(found)
}

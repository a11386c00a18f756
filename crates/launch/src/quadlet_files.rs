//! Where Quadlet files are, and how they are read with their drop-ins.
//!
//! Judges nothing of what is in them. Folders below the three are not searched.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use container_model::quadlet::{self, DropInText, QuadletFile, Siblings};

/// Where they are looked for; a name in an earlier folder hides that name in later ones.
pub(crate) const FOLDERS: [&str; 3] = [
    "/run/containers/systemd",
    "/etc/containers/systemd",
    "/usr/share/containers/systemd",
];

/// Reads a file and the drop-ins in these folders.
pub(crate) fn read(path: &Path, folders: &[PathBuf]) -> anyhow::Result<QuadletFile> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} is no file name in UTF-8", path.display()))?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = std::path::absolute(parent.unwrap_or(Path::new(".")))?;
    let folder = folder
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(QuadletFile {
        name: name.to_owned(),
        folder: folder.to_owned(),
        text: text(path)?,
        drop_ins: drop_ins(name, folders)?,
    })
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// `NAME.d/*.conf`, in the order of their names; earlier folders hide names of later ones.
fn drop_ins(name: &str, folders: &[PathBuf]) -> anyhow::Result<Vec<DropInText>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in folders {
        for file in names_in(&folder.join(format!("{name}.d")))? {
            if Path::new(&file).extension() == Some("conf".as_ref()) {
                let path = folder.join(format!("{name}.d")).join(&file);
                found.entry(file).or_insert(path);
            }
        }
    }
    let read = |(file, path): (String, PathBuf)| {
        Ok(DropInText {
            name: format!("{name}.d/{file}"),
            text: text(&path)?,
        })
    };
    found.into_iter().map(read).collect()
}

/// Every file in the folders that is not hidden by one of its name in an earlier folder.
pub(crate) fn search(folders: &[PathBuf]) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for folder in folders {
        for name in names_in(folder)? {
            let path = folder.join(&name);
            found.entry(name).or_insert(path);
        }
    }
    Ok(found)
}

/// All files that others may name, and the containers that name pods. What cannot be read is told when it is judged itself.
pub(crate) fn siblings(folders: &[PathBuf]) -> anyhow::Result<Siblings> {
    let all = search(folders)?.into_iter();
    let sources = all.filter(|(name, _)| quadlet::is_unit_source(name));
    let files: Vec<QuadletFile> = sources
        .filter_map(|(_, path)| read(&path, folders).ok())
        .collect();
    Ok(Siblings::of(&files))
}

/// The names in a folder; none if there is no folder. Names that are not UTF-8 are nobody's here.
fn names_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| folder.display().to_string())?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

//! The folder that paths of the machine are looked up in: `/`, or a test's copy of one.
//!
//! It does not resolve symbolic links that leave the folder.
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::{Fact, FactError};

/// The root of the system that is asked about.
#[derive(Debug, Clone)]
pub struct SystemRoot(PathBuf);

impl SystemRoot {
    /// A system whose `/` is this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Where an absolute path of the machine really is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// The text of a file; lines without a final line feed.
    pub fn read_text(&self, path: &str) -> Fact<String> {
        fs::read_to_string(self.path(path)).map_err(FactError::read(path))
    }

    /// The first line of a file of the kernel's, which are one word and a line feed.
    pub fn read_word(&self, path: &str) -> Fact<String> {
        Ok(self.read_text(path)?.trim().to_owned())
    }

    /// The contents of a TOML file.
    pub fn read_toml<T: DeserializeOwned>(&self, path: &str) -> Fact<T> {
        let text = self.read_text(path)?;
        toml::from_str(&text).map_err(|error| FactError::malformed_toml(path, &text, &error))
    }

    /// The names in a folder, sorted; names that are not UTF-8 are left out.
    pub fn list(&self, path: &str) -> Fact<Vec<String>> {
        let entries = fs::read_dir(self.path(path)).map_err(FactError::read(path))?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(FactError::read(path))?.file_name();
            names.extend(name.into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// Replaces a file in one step: readers see the old text or the new.
    pub fn replace(&self, path: &str, text: &str) -> io::Result<()> {
        let target = self.path(path);
        let temporary = target.with_extension("new");
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&temporary, text)?;
        fs::rename(&temporary, &target)
    }

    /// Replaces a file in one step that survives a power cut.
    pub fn replace_durably(&self, path: &str, text: &str) -> io::Result<()> {
        let target = self.path(path);
        let temporary = target.with_extension("new");
        let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        File::open(folder)?.sync_all()
    }

    /// Whether something is there.
    pub fn exists(&self, path: &str) -> bool {
        Path::exists(&self.path(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_folder() {
        let root = SystemRoot::new("/tmp/x");
        assert_eq!(root.path("/etc/a"), Path::new("/tmp/x/etc/a"));
        assert_eq!(SystemRoot::new("/").path("/etc/a"), Path::new("/etc/a"));
    }

    #[test]
    fn a_replaced_file_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        root.replace("/run/keelson/health.toml", "a").unwrap();
        root.replace("/run/keelson/health.toml", "b").unwrap();
        assert_eq!(root.read_text("/run/keelson/health.toml").unwrap(), "b");
        assert_eq!(root.list("/run/keelson").unwrap(), ["health.toml"]);
    }

    #[test]
    fn errors_name_the_machines_path() {
        let folder = tempfile::tempdir().unwrap();
        let error = SystemRoot::new(folder.path()).read_text("/etc/a");
        assert_eq!(error.unwrap_err().to_string(), "cannot read /etc/a");
    }
}

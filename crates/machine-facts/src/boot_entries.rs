//! The versions installed on the ESP, and whether boots of them are counted.
//!
//! It renames nothing, and does not read the kernel images.
use disk_format::boot_entry::{BootEntry, Counter};

use crate::error::Fact;
use crate::system_root::SystemRoot;

/// Where the boot loader finds unified kernel images; the ESP is mounted at `/efi`.
pub const FOLDER: &str = "/efi/EFI/Linux";

/// The entries that are Keelson's, sorted by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntries(Vec<BootEntry>);

impl BootEntries {
    /// Lists the folder.
    pub fn read(root: &SystemRoot) -> Fact<Self> {
        Ok(Self::from_names(&root.list(FOLDER)?))
    }

    /// Those among these file names that are Keelson's.
    pub fn from_names(names: &[String]) -> Self {
        let mut entries: Vec<_> = names.iter().filter_map(|n| BootEntry::parse(n)).collect();
        entries.sort();
        Self(entries)
    }

    /// The counter of a version.
    pub fn counter(&self, version: &str) -> Option<Counter> {
        let entry = self.0.iter().find(|entry| entry.version == version);
        entry.map(|entry| entry.counter)
    }

    /// The entries of all versions but this one.
    pub fn others(&self, version: &str) -> impl Iterator<Item = &BootEntry> {
        self.0.iter().filter(move |entry| entry.version != version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&str]) -> BootEntries {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        BootEntries::from_names(&names)
    }

    #[test]
    fn own_and_other_versions_are_told_apart() {
        let entries = entries(&[
            "keelson_2.efi",
            "keelson_1+2-1.efi",
            "debian.efi",
            "keelson_1.efi.new",
        ]);
        let counter = Counter::Counted {
            tries_left: 2,
            tries_done: 1,
        };
        assert_eq!(entries.counter("1"), Some(counter));
        assert_eq!(entries.counter("3"), None);
        let others: Vec<_> = entries.others("1").map(BootEntry::file_name).collect();
        assert_eq!(others, ["keelson_2.efi"]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = BootEntries::read(&SystemRoot::new(folder.path())).unwrap_err();
        assert!(error.is_missing_file());
    }
}

//! The folders in `/run` by which monitors of containers and this agent tell each other what there is.
//!
//! What cannot be read or written is told, and counts as not there: a container does not depend on it.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use container_model::name::Name;
use container_model::registration::{ANNOUNCED, Announcement, REGISTERED, Receipt};
use machine_facts::system_root::SystemRoot;

/// Both.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: SystemRoot,
}

impl Folders {
    pub(crate) fn new(root: SystemRoot) -> Self {
        Self { root }
    }

    /// All that is announced.
    pub(super) fn announced(&self) -> BTreeMap<Name, Announcement> {
        let read = |name: Name| {
            let path = path(ANNOUNCED, &name);
            match fs::read(self.root.path(&path)) {
                Ok(text) => match serde_json::from_slice(&text) {
                    Ok(announcement) => Some((name, announcement)),
                    Err(error) => {
                        tracing::warn!("{path}: {error}");
                        None
                    }
                },
                // It was withdrawn just now.
                Err(_) => None,
            }
        };
        self.names(ANNOUNCED).into_iter().filter_map(read).collect()
    }

    /// The containers with receipts.
    pub(super) fn receipts(&self) -> Vec<Name> {
        self.names(REGISTERED)
    }

    pub(super) fn has_receipt(&self, name: &Name) -> bool {
        self.root.exists(&path(REGISTERED, name))
    }

    pub(super) fn write_receipt(&self, name: &Name, receipt: &Receipt) {
        let path = path(REGISTERED, name);
        let text = serde_json::to_string(receipt).unwrap_or_default();
        let is_there = fs::read_to_string(self.root.path(&path)).is_ok_and(|old| old == text);
        if is_there {
            return;
        }
        if let Err(error) = self.root.replace(&path, &text) {
            tracing::warn!("{path}: {error}");
        }
    }

    pub(super) fn remove_receipt(&self, name: &Name) {
        let path = path(REGISTERED, name);
        match fs::remove_file(self.root.path(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{path}: {error}");
            }
            _ => {}
        }
    }

    /// The store has nothing any more.
    pub(crate) fn remove_receipts(&self) {
        for name in self.receipts() {
            self.remove_receipt(&name);
        }
    }

    /// The store may have lost it all.
    pub(super) fn doubt_receipts(&self) {
        for name in self.receipts() {
            let text = fs::read(self.root.path(&path(REGISTERED, &name))).unwrap_or_default();
            if let Ok(receipt) = serde_json::from_slice::<Receipt>(&text) {
                let confirmed = false;
                self.write_receipt(
                    &name,
                    &Receipt {
                        confirmed,
                        ..receipt
                    },
                );
            }
        }
    }

    fn names(&self, folder: &str) -> Vec<Name> {
        // No folder is no files.
        let files = self.root.list(folder).unwrap_or_default();
        let names = files
            .iter()
            .filter_map(|file| file.strip_suffix(".json")?.parse().ok());
        names.collect()
    }
}

fn path(folder: &str, name: &Name) -> String {
    format!("{folder}/{name}.json")
}

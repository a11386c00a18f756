//! Loads kernel modules from `/modules`: some always, the others when their hardware shows up.
//!
//! What to load is decided by [`ModuleIndex`]; this follows it and never fails: a driver that
//! does not load is a warning, and whatever then is missing fails later under its own name.
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use rustix::io::Errno;
use rustix::system::finit_module;

use crate::kernel::module_index::{ModuleIndex, ModuleIndexError};
use crate::report::console;
use crate::report::error::{ActionFailed, Context};

const FOLDER: &str = "/modules";
const BUSES: &str = "/sys/bus";

/// Why there are no modules at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelModulesError {
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ActionFailed),
    /// The index makes no sense.
    #[error(transparent)]
    Index(#[from] ModuleIndexError),
}

/// The modules, and what was tried already.
#[derive(Debug)]
pub(crate) struct KernelModules {
    index: ModuleIndex,
    tried_files: BTreeSet<String>,
    seen_aliases: BTreeSet<String>,
}

impl KernelModules {
    /// Reads the index and loads what every machine needs.
    pub(crate) fn load() -> Result<Self, KernelModulesError> {
        let path = format!("{FOLDER}/index");
        let text = fs::read_to_string(&path).context(|| format!("read {path}"))?;
        let index = ModuleIndex::parse(&text)?;
        let mut modules = Self {
            index,
            tried_files: BTreeSet::new(),
            seen_aliases: BTreeSet::new(),
        };
        for file in modules.index.always.clone() {
            modules.load_once(&file);
        }
        Ok(modules)
    }

    /// Loads the drivers of devices that have appeared since the last call; how many files.
    ///
    /// A driver may make devices of its own appear, so one call is seldom enough.
    pub(crate) fn load_for_new_devices(&mut self) -> usize {
        let new: Vec<String> = device_aliases()
            .into_iter()
            .filter(|alias| !self.seen_aliases.contains(alias))
            .collect();
        let mut loaded = 0;
        for alias in new {
            let files: Vec<String> = self.index.files_for(&alias).map(str::to_owned).collect();
            loaded += files.iter().filter(|file| self.load_once(file)).count();
            self.seen_aliases.insert(alias);
        }
        loaded
    }

    /// Whether this call loaded the file.
    fn load_once(&mut self, file: &str) -> bool {
        if !self.tried_files.insert(file.to_owned()) {
            return false;
        }
        match load_file(file) {
            Ok(()) => true,
            Err(error) => {
                console::warning(&crate::report::error::chain(&error));
                false
            }
        }
    }
}

fn load_file(file: &str) -> Result<(), ActionFailed> {
    let path = format!("{FOLDER}/{file}");
    let module = File::open(&path).context(|| format!("open {path}"))?;
    match finit_module(&module, c"", 0) {
        // Loaded already, built in, or not for this processor or firmware.
        Ok(()) | Err(Errno::EXIST | Errno::NODEV) => Ok(()),
        failed => failed.context(|| format!("load the kernel module {file}")),
    }
}

/// The modaliases of all devices on all buses.
fn device_aliases() -> BTreeSet<String> {
    let buses = names_in(Path::new(BUSES));
    let devices = buses
        .iter()
        .map(|bus| Path::new(BUSES).join(bus).join("devices"));
    devices
        .flat_map(|folder| {
            names_in(&folder)
                .into_iter()
                .filter_map(move |name| device_alias(&folder.join(name)))
        })
        .collect()
}

/// Some buses (MMC) have no `modalias` attribute and say it in `uevent` alone.
fn device_alias(device: &Path) -> Option<String> {
    let alias = match fs::read_to_string(device.join("modalias")) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => alias_in_uevent(&fs::read_to_string(device.join("uevent")).ok()?)?.to_owned(),
    };
    (!alias.is_empty()).then_some(alias)
}

fn alias_in_uevent(uevent: &str) -> Option<&str> {
    uevent
        .lines()
        .find_map(|line| line.strip_prefix("MODALIAS="))
}

/// Devices come and go: a folder that is gone has no names.
fn names_in(folder: &Path) -> Vec<std::ffi::OsString> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.file_name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uevents_are_searched_for_the_alias() {
        let uevent = "DRIVER=mmcblk\nMMC_TYPE=SD\nMODALIAS=mmc:block\n";
        assert_eq!(alias_in_uevent(uevent), Some("mmc:block"));
        assert_eq!(alias_in_uevent("DRIVER=x\n"), None);
    }

    #[test]
    fn a_device_without_either_file_has_no_alias() {
        let device = tempfile::tempdir().unwrap();
        assert_eq!(device_alias(device.path()), None);
        fs::write(device.path().join("uevent"), "MODALIAS=mmc:block\n").unwrap();
        assert_eq!(device_alias(device.path()).as_deref(), Some("mmc:block"));
        fs::write(device.path().join("modalias"), "pci:v1\n").unwrap();
        assert_eq!(device_alias(device.path()).as_deref(), Some("pci:v1"));
        fs::write(device.path().join("modalias"), "\n").unwrap();
        assert_eq!(device_alias(device.path()), None);
    }
}

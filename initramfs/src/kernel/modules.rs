//! Loads kernel modules from `/modules`: some always, the others when their hardware shows up.
//!
//! What to load is decided by [`ModuleIndex`]; this follows it and never fails: a driver that
//! does not load is a warning, and whatever then is missing fails later under its own name.
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::io::Errno;
use rustix::system::finit_module;

use crate::kernel::module_index::{ModuleIndex, ModuleIndexError};
use crate::report::console;
use crate::report::error::{ActionFailed, Context};

const FOLDER: &str = "/modules";
const BUSES: &str = "/sys/bus";
const UEFI: &str = "/sys/firmware/efi";
/// The module behind the boot loader's variables.
const EFIVARFS: &str = "efivarfs.";

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
    index: Arc<ModuleIndex>,
    tried_files: BTreeSet<String>,
    seen_aliases: BTreeSet<String>,
    /// Drivers of devices that are there, not tried yet; the first is the likeliest.
    pending: BTreeSet<usize>,
    always: Option<JoinHandle<()>>,
}

impl KernelModules {
    /// Reads the index and begins to load what every machine needs.
    ///
    /// Half of a module's time is the check of its signature: another processor does that while
    /// this one looks for the disk. efivarfs alone is needed before, if there is UEFI at all.
    pub(crate) fn load() -> Result<Self, KernelModulesError> {
        let path = format!("{FOLDER}/index");
        let text = fs::read_to_string(&path).context(|| format!("read {path}"))?;
        let index = Arc::new(ModuleIndex::parse(&text)?);
        let first = index.always.iter().find(|file| file.starts_with(EFIVARFS));
        if let (Some(file), true) = (first, Path::new(UEFI).exists()) {
            load_or_warn(file);
        }
        let shared = Arc::clone(&index);
        let always = thread::spawn(move || {
            for file in &shared.always {
                load_or_warn(file);
            }
        });
        Ok(Self {
            index,
            tried_files: BTreeSet::new(),
            seen_aliases: BTreeSet::new(),
            pending: BTreeSet::new(),
            always: Some(always),
        })
    }

    /// Returns once what every machine needs is loaded.
    pub(crate) fn wait(&mut self) {
        if let Some(always) = self.always.take() {
            // A panic there has ended the boot already.
            let _ = always.join();
        }
    }

    /// Loads what mounting the ESP needs.
    pub(crate) fn load_for_esp(&self) {
        for file in &self.index.esp {
            load_or_warn(file);
        }
    }

    /// Loads one more driver of the devices there are, the likeliest first; whether there was one.
    ///
    /// A driver may make devices of its own appear, so the answer can be no and later yes again.
    pub(crate) fn load_next_driver(&mut self) -> bool {
        if self.pending.is_empty() {
            self.look_for_new_devices();
        }
        while let Some(driver) = self.pending.pop_first() {
            if self.load_driver(driver) {
                return true;
            }
        }
        false
    }

    fn look_for_new_devices(&mut self) {
        for alias in device_aliases() {
            if !self.seen_aliases.contains(&alias) {
                self.pending.extend(self.index.drivers_for(&alias));
                self.seen_aliases.insert(alias);
            }
        }
    }

    /// Whether this call loaded anything.
    fn load_driver(&mut self, driver: usize) -> bool {
        let mut loaded = false;
        for file in self.index.files(driver) {
            if self.tried_files.insert(file.clone()) {
                loaded |= load_or_warn(file);
            }
        }
        loaded
    }
}

/// Whether it is loaded now.
fn load_or_warn(file: &str) -> bool {
    let loaded = load_file(file);
    if let Err(error) = &loaded {
        console::warning(&crate::report::error::chain(error));
    }
    loaded.is_ok()
}

fn load_file(file: &str) -> Result<(), ActionFailed> {
    let path = format!("{FOLDER}/{file}");
    let module = File::open(&path).context(|| format!("open {path}"))?;
    match finit_module(&module, c"", 0) {
        // Loaded already, built in, or not for this processor or firmware. One that is being loaded
        // elsewhere is waited for by the kernel.
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

//! Making the boot loader prefer the version in the other slot.
//!
//! By the names of boot entries alone, so that it survives whatever happens to the firmware's variables. Does
//! not reboot.

use disk_format::boot_entry::{BootEntry, Counter};
use disk_format::disk::Disk;
use update_model::progress::Release;

use crate::boot_folder::BootFolder;
use crate::error::{InstallError, Result};
use crate::install::entry;
use crate::slots::{Slots, root_hash_of};

/// What the boot loader skips as long as there is anything else.
const EXHAUSTED: Counter = Counter::Counted {
    tries_left: 0,
    tries_done: 0,
};

/// The entry that boots what is in the other slot.
struct OtherEntry {
    /// Its file's name.
    name: String,
    counter: Counter,
    release: Release,
}

impl<D: Disk, B: BootFolder> Slots<D, B> {
    /// What is in the other slot, if it is complete.
    pub fn other_release(&self) -> Result<Release> {
        Ok(self.other_entry()?.release)
    }

    /// Makes it the one that boots next, and says which it is. Afterwards at least one entry is bootable at
    /// any moment: the other one gets its tries back before the running one loses its own.
    pub fn prefer_other(&mut self) -> Result<Release> {
        let other = self.other_entry()?;
        let version = &other.release.version;
        if matches!(other.counter, Counter::Counted { tries_left: 0, .. }) {
            self.rename(&other.name, &entry(version)?)?;
        }
        if *version < self.running.version {
            let mut own = self.entries()?;
            own.retain(|(_, entry)| self.is_own(entry));
            for (name, entry) in &own {
                let demoted = BootEntry {
                    version: entry.version.clone(),
                    counter: EXHAUSTED,
                };
                if *name != demoted.file_name() {
                    self.rename(name, &demoted.file_name())?;
                }
            }
        }
        Ok(other.release)
    }

    fn other_entry(&self) -> Result<OtherEntry> {
        let mut reason = "EFI/Linux has no other boot entry".to_owned();
        for (name, entry) in self.entries()? {
            if self.is_own(&entry) {
                continue;
            }
            let image = self.boot.read(&name);
            let image = image.map_err(InstallError::boot("read", &name))?;
            match root_hash_of(&image) {
                Some(root_hash) if self.idle_holds(&root_hash) => {
                    let version = entry.version.parse();
                    let version = version.map_err(|_| InstallError::Version(entry.version))?;
                    return Ok(OtherEntry {
                        name,
                        counter: entry.counter,
                        release: Release { version, root_hash },
                    });
                }
                _ => reason = format!("{name} boots a root that is not there"),
            }
        }
        Err(InstallError::NothingElse(reason))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let renamed = self.boot.rename(from, to);
        renamed.map_err(InstallError::boot("rename to", to))
    }
}

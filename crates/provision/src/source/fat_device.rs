//! A file `keelson/config.*` in a FAT file system that nobody has mounted: the EFI system partition before
//! there are drivers for it.
//!
//! The file system is read here, and not written.

use std::fs::File;
use std::path::PathBuf;

use disk_format::configuration_file::{FOLDER, STEM, find};
use disk_format::esp::{Esp, EspError};

use super::{Source, SourceError};
use crate::run::{Afterwards, Found};

/// A partition that may have one.
#[derive(Debug)]
pub struct FatDevice {
    /// In words.
    pub what: &'static str,
    /// Its device node, or an image of it.
    pub device: PathBuf,
}

impl FatDevice {
    fn open(&self) -> Result<Esp<File>, SourceError> {
        let file = File::open(&self.device).map_err(|source| SourceError::Read {
            path: self.device.clone(),
            source,
        })?;
        // The time is for what is written.
        Esp::open(file, 0).map_err(|error| self.malformed(&error))
    }

    fn malformed(&self, error: &EspError) -> SourceError {
        SourceError::Malformed {
            place: format!("{} ({})", self.what, self.device.display()),
            problem: format!("cannot be read: {}", machine_facts::error::chain(error)),
        }
    }
}

impl Source for FatDevice {
    fn name(&self) -> String {
        format!("{FOLDER}/{STEM}* on {}", self.what)
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        let esp = self.open()?;
        let names = find(&esp).map_err(|error| self.malformed(&error))?;
        let name = match &names[..] {
            [] => return Ok(None),
            [name] => name,
            _ => return Err(SourceError::Several(names)),
        };
        let bytes = esp
            .read_file(name)
            .map_err(|error| self.malformed(&error))?;
        Ok(Some(Found {
            bytes,
            source: format!("{name} on {}", self.what),
            name: name.clone(),
            afterwards: Afterwards::ErasedFromEsp,
        }))
    }
}

//! Where a machine's owner may have put its configuration, in the order in which that is asked.
//!
//! Everything here is a folder or a file: who mounts it, and who loads drivers for it, is elsewhere.

mod config_drive;
mod fat_device;
mod firmware;
mod guest_info;
mod label;
mod smbios;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use config_drive::{ConfigDrive, Drive, LabelledDrive, find_drives};
pub use fat_device::FatDevice;
pub use firmware::FirmwareConfiguration;
pub use guest_info::{GuestInfo, GuestInfoSource, guest_info};
pub use label::{HEAD_LENGTH, Label, label};
pub use smbios::SystemStrings;

use crate::run::Found;

/// More is no configuration: a file by mistake.
const BYTES_MAX: u64 = 16 << 20;

/// One place where a configuration may be.
pub trait Source {
    /// In words, for the console.
    fn name(&self) -> String;

    /// The configuration, if it has one.
    ///
    /// # Errors
    /// If it has something that cannot be taken.
    fn look(&self) -> Result<Option<Found>, SourceError>;
}

/// A source has something that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any configuration.
    #[error("{} has more than {BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// There are several, and none is more right than the others.
    #[error("there are {} configurations where one may be: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    /// It is not what it says it is.
    #[error("{place} {problem}")]
    Malformed {
        /// Where.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

/// What is told of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It has none.
    Nothing(String),
    /// It has one, with so many bytes.
    Found(String, usize),
}

/// The first configuration there is. Sources after it are not asked.
///
/// # Errors
/// If a source has something that cannot be taken: another's would not be what the owner wants.
pub fn first(
    sources: &[Box<dyn Source>],
    tell: &mut dyn FnMut(&Told),
) -> Result<Option<Found>, SourceError> {
    for source in sources {
        if let Some(found) = source.look()? {
            tell(&Told::Found(found.source.clone(), found.bytes.len()));
            return Ok(Some(found));
        }
        tell(&Told::Nothing(source.name()));
    }
    Ok(None)
}

/// The bytes of a file, if it is there.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, SourceError> {
    let failed = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A name on the way is a file: then this one is not there either.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(SourceError::TooLarge(path.to_owned()));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;

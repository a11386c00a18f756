//! The configuration that was on the EFI system partition: FAT has no modes and no owners, so that it stays there only
//! until it is applied. Then a file of root's alone has it, for the first boot after a reset, and there it is erased.
//!
//! Erased is: overwritten, then removed. A medium that writes elsewhere (flash) may still have the old blocks.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use machine_facts::provision_record::GIVEN;

use crate::root::Root;
use crate::run::{Afterwards, Found};
use crate::source::{Source, SourceError, read};
use crate::{result_file, waiting};

/// Keeps a configuration below a root, durably.
///
/// # Errors
/// If the kernel refuses.
pub fn keep(root: &Root, found: &Found) -> io::Result<()> {
    let found = Found {
        source: format!("{}, before it was erased there", found.source),
        afterwards: Afterwards::Stays,
        ..found.clone()
    };
    result_file::put(root, GIVEN, &waiting::to_bytes(&found))
}

/// Erases a file below the folder where the partition is mounted; one that is gone is.
///
/// # Errors
/// If the kernel refuses.
pub fn erase(esp: &Path, name: &str) -> io::Result<()> {
    let path = esp.join(name);
    let mut file = match File::options().write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length), &mut file)?;
    file.sync_all()?;
    fs::remove_file(&path)?;
    Ok(rustix::fs::syncfs(&file)?)
}

/// What [`keep`] has kept.
#[derive(Debug)]
pub struct GivenBefore {
    /// Below the root.
    file: PathBuf,
}

impl GivenBefore {
    /// Below this folder, which is a root.
    pub fn new(root: &Path) -> Self {
        let file = root.join(GIVEN.trim_start_matches('/'));
        Self { file }
    }
}

impl Source for GivenBefore {
    fn name(&self) -> String {
        "what an earlier first boot had on the ESP".to_owned()
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        let Some(bytes) = read(&self.file)? else {
            return Ok(None);
        };
        let found = waiting::from_bytes(&bytes).map_err(|error| SourceError::Malformed {
            place: GIVEN.to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_roots_alone_and_a_source() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let source = GivenBefore::new(folder.path());
        assert_eq!(source.look().unwrap(), None);
        let found = Found {
            bytes: b"hostname = 'a'".to_vec(),
            source: "keelson/config.toml on the ESP".to_owned(),
            name: "keelson/config.toml".to_owned(),
            afterwards: Afterwards::ErasedFromEsp,
        };
        keep(&root, &found).unwrap();
        assert_eq!(root.look(GIVEN).unwrap().unwrap().mode, 0o600);
        let kept = source.look().unwrap().unwrap();
        assert_eq!((kept.bytes, kept.name), (found.bytes, found.name));
        assert_eq!(kept.afterwards, Afterwards::Stays);
        assert!(kept.source.starts_with("keelson/config.toml on the ESP, "));
        fs::write(folder.path().join(&GIVEN[1..]), "{}").unwrap();
        assert!(source.look().is_err());
    }

    #[test]
    fn no_byte_of_an_erased_file_stays() {
        let esp = tempfile::tempdir().unwrap();
        let path = esp.path().join("keelson/config.toml");
        fs::create_dir(esp.path().join("keelson")).unwrap();
        fs::write(&path, b"secret").unwrap();
        // A second name shows what became of the blocks.
        let blocks = esp.path().join("blocks");
        fs::hard_link(&path, &blocks).unwrap();
        for _ in 0..2 {
            erase(esp.path(), "keelson/config.toml").unwrap();
            assert!(!path.exists());
        }
        assert_eq!(fs::read(blocks).unwrap(), [0; 6]);
    }
}

//! The folder on the EFI system partition where the boot loader finds unified kernel images.
//!
//! Every change is durable when the call returns. Does not know which entry belongs to which slot.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// `EFI/Linux` of a disk's ESP. Names are those of files directly in it.
pub trait BootFolder: Debug {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// The length of a file in bytes.
    fn length(&self, name: &str) -> io::Result<u64>;
    /// The contents of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Free bytes of the file system.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Writes a file, over one that exists; what there was of it is undefined until this returns.
    fn write(&mut self, name: &str, contents: &[u8]) -> io::Result<()>;
    /// Gives a file another name, which no other file has.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// The folder of a file system that is mounted, or is to be once it is looked at.
#[derive(Clone, Debug)]
pub struct MountedBootFolder {
    folder: PathBuf,
}

impl MountedBootFolder {
    /// This folder, which exists.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// FAT writes its table along with the folder, so this is all a change of names needs.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl BootFolder for MountedBootFolder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path(name))?.len())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(name))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.folder)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    fn write(&mut self, name: &str, contents: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.path(name))?;
        file.write_all(contents)?;
        file.sync_all()?;
        self.sync()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))?;
        // FAT keeps a file's length and place in its entry, and Linux writes those of a new name only along
        // with the file: until then the file is empty under it.
        File::open(self.path(to))?.sync_all()?;
        self.sync()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))?;
        self.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_renamed_and_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let mut folder = MountedBootFolder::new(temporary.path());
        folder.write("a.new", b"long contents").unwrap();
        folder.write("a.new", b"image").unwrap();
        folder.rename("a.new", "a").unwrap();
        assert_eq!(folder.list().unwrap(), ["a"]);
        assert_eq!(folder.read("a").unwrap(), b"image");
        assert_eq!(folder.length("a").unwrap(), 5);
        assert!(folder.free_bytes().unwrap() > 0);
        folder.remove("a").unwrap();
        assert!(folder.list().unwrap().is_empty());
        assert!(folder.remove("a").is_err());
    }
}

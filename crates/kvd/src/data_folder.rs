//! The data folder: made, private, and held by one process at a time.
//!
//! What is in it is the cluster's affair, but for a few small files of the daemon, named here.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file whose lock says that a process works in the folder.
const LOCK: &str = "kvd.lock";
/// This member's key at a discovery URL.
pub(crate) const DISCOVERY_KEY: &str = "discovery-key";
/// What discovery found: this member's name, then the list of the first members.
pub(crate) const DISCOVERED: &str = "discovered-members";
/// The members that a proxy knew last.
pub(crate) const PROXY_MEMBERS: &str = "proxy-members.json";
/// All of them: a folder with nothing else holds no member yet.
const OWN_FILES: &[&str] = &[LOCK, DISCOVERY_KEY, DISCOVERED, PROXY_MEMBERS, "lost+found"];

/// Why the folder cannot be used; says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataFolderError {
    /// It cannot be made or written.
    #[error("cannot use the data directory {path}: {source}; choose another with --data-dir")]
    Use { path: PathBuf, source: io::Error },
    /// Somebody else works in it.
    #[error(
        "the data directory {path} is in use by another kvd: stop that one, or choose another with --data-dir"
    )]
    InUse { path: PathBuf },
}

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if there is none, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |source| DataFolderError::Use {
            path: path.to_owned(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a member was started here before.
    pub(crate) fn holds_a_member(&self) -> bool {
        let Ok(entries) = std::fs::read_dir(&self.path) else {
            return false;
        };
        let is_own = |name: &std::ffi::OsStr| OWN_FILES.iter().any(|own| name == *own);
        entries.flatten().any(|entry| !is_own(&entry.file_name()))
    }

    /// The text of one of the daemon's own files.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path.join(name)).ok()
    }

    /// Writes one of the daemon's own files: after a power cut it is the old one or the new one.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        use std::io::Write as _;
        let temporary = self.path.join(LOCK).with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, self.path.join(name))?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time_holds_the_folder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = DataFolder::open(&path).unwrap();
        let again = DataFolder::open(&path);
        assert!(matches!(again, Err(DataFolderError::InUse { .. })));
        drop(folder);
        assert!(DataFolder::open(&path).is_ok());
    }

    #[test]
    fn own_files_are_not_a_member() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(parent.path()).unwrap();
        folder.write(DISCOVERY_KEY, "k").unwrap();
        folder.write(PROXY_MEMBERS, "[]").unwrap();
        assert_eq!(folder.read(DISCOVERY_KEY).as_deref(), Some("k"));
        assert!(!folder.holds_a_member());
        std::fs::write(parent.path().join("identity"), "x").unwrap();
        assert!(folder.holds_a_member());
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        std::fs::write(&path, "").unwrap();
        let message = DataFolder::open(&path).unwrap_err().to_string();
        assert!(
            message.contains("file") && message.contains("--data-dir"),
            "{message}"
        );
    }
}

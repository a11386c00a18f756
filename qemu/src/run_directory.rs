//! The temporary directory of one running machine.
//!
//! It is removed on drop. A process killed with SIGKILL cannot do that, so whoever creates the
//! next directory beside it removes it: a directory's owner holds a lock that dies with it. This
//! does not keep logs; [`crate::LogPolicy`] puts them elsewhere.

use crate::{QemuError, interrupt};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = "keelson-run-";
const LOCK_NAME: &str = "owner.lock";

/// A directory only its owner can read: it holds credentials and keys.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    directory: tempfile::TempDir,
    /// Held open for its lock.
    _owner: File,
}

impl RunDirectory {
    /// Creates a directory in `parent` and removes those whose owner has died.
    pub(crate) fn create(parent: &Path) -> Result<Self, QemuError> {
        let parent = std::path::absolute(parent).map_err(QemuError::file("find", parent))?;
        // One at a time, or a directory not yet locked would look abandoned.
        let exclusive = File::open(&parent).map_err(QemuError::file("open", &parent))?;
        flock(&exclusive, FlockOperation::LockExclusive)
            .map_err(|error| QemuError::file("lock", &parent)(error.into()))?;
        remove_abandoned(&parent);
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(QemuError::file("create a directory in", &parent))?;
        interrupt::register_directory(directory.path());
        let lock = directory.path().join(LOCK_NAME);
        let owner = File::create_new(&lock).map_err(QemuError::file("create", &lock))?;
        flock(&owner, FlockOperation::LockExclusive)
            .map_err(|error| QemuError::file("lock", &lock)(error.into()))?;
        Ok(Self {
            directory,
            _owner: owner,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes `bytes` into a new file and returns its path.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, QemuError> {
        let path = self.path().join(name);
        fs::write(&path, bytes).map_err(QemuError::file("write", &path))?;
        Ok(path)
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // Removal itself follows when the field is dropped; a leftover is swept by the next.
        interrupt::forget_directory(self.directory.path());
    }
}

/// Removes the run directories in `parent` whose owner is gone. Failures are passed over: they
/// belong to somebody else or are met again by the next sweep.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(directory: &Path) -> bool {
    File::open(directory.join(LOCK_NAME))
        .is_ok_and(|owner| flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<String> {
        let entries = fs::read_dir(parent).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries.map(|entry| name(entry.unwrap())).collect()
    }

    #[test]
    fn removed_on_drop_and_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(parent.path()).unwrap();
        directory.write("secret", b"x").unwrap();
        let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(directory);
        assert_eq!(names(parent.path()), Vec::<String>::new());
    }

    #[test]
    fn sweep_takes_abandoned_directories_only() {
        let parent = tempfile::tempdir().unwrap();
        let alive = RunDirectory::create(parent.path()).unwrap();
        let dead = parent.path().join("keelson-run-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK_NAME), b"").unwrap();
        let foreign = parent.path().join("keelson-run-foreign");
        fs::create_dir(&foreign).unwrap();
        let other = RunDirectory::create(parent.path()).unwrap();
        assert!(alive.path().exists() && other.path().exists() && foreign.exists());
        assert!(!dead.exists());
    }
}

//! The folders of the state file system and where they appear in the root.
//!
//! `/etc` is not a folder of state but an overlay; see [`crate::state::etc_layers`].
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::mount::mount_bind;

use crate::report::error::{ActionFailed, Context};
use crate::root::verity_root::ROOT;
use crate::state::partition::STATE;

/// The folder of what all versions share: the identity of the machine.
pub(crate) const SHARED: &str = "shared";
/// The folder of the layers of `/etc`, one a version.
pub(crate) const ETC: &str = "etc";

/// A folder of state.
struct Folder {
    name: &'static str,
    mode: u32,
    appears_as: Option<&'static str>,
}

const fn folder(name: &'static str, mode: u32, appears_as: Option<&'static str>) -> Folder {
    Folder {
        name,
        mode,
        appears_as,
    }
}

const FOLDERS: [Folder; 8] = [
    folder("var", 0o755, Some("/var")),
    folder("home", 0o755, Some("/home")),
    folder("root", 0o700, Some("/root")),
    folder("opt", 0o755, Some("/opt")),
    folder("srv", 0o755, Some("/srv")),
    folder("usr-local", 0o755, Some("/usr/local")),
    folder(SHARED, 0o755, None),
    folder(ETC, 0o755, None),
];

/// The folder that appears at a place of the root.
pub(crate) fn name_of(place: &str) -> Option<&'static str> {
    let appears = |folder: &&Folder| folder.appears_as == Some(place);
    FOLDERS.iter().find(appears).map(|folder| folder.name)
}

/// Creates the folders that are missing.
pub(crate) fn create(state: &Path) -> Result<(), ActionFailed> {
    for Folder { name, mode, .. } in &FOLDERS {
        let path = state.join(name);
        create_one(&path, *mode).context(|| format!("create {}", path.display()))?;
    }
    Ok(())
}

/// The mode of a folder that exists is the administrator's.
fn create_one(path: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates the folders and mounts them into the root.
pub(crate) fn mount_all() -> Result<(), ActionFailed> {
    create(Path::new(STATE))?;
    for Folder {
        name, appears_as, ..
    } in &FOLDERS
    {
        if let Some(place) = appears_as {
            let (from, to) = (format!("{STATE}/{name}"), format!("{ROOT}{place}"));
            mount_bind(&from, &to).context(|| format!("mount {from} on {to}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn folders_are_made_once_and_then_left_alone() {
        let state = tempfile::tempdir().unwrap();
        create(state.path()).unwrap();
        assert_eq!(mode(&state.path().join("var")), 0o755);
        assert_eq!(mode(&state.path().join("root")), 0o700);
        let home = state.path().join("home");
        fs::set_permissions(&home, Permissions::from_mode(0o711)).unwrap();
        create(state.path()).unwrap();
        assert_eq!(mode(&home), 0o711);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), FOLDERS.len());
    }
}

//! The file that says a file system is Keelson's state: `.keelson-state` in its root folder.
//!
//! It does not say which version made it; the format of state is each program's own affair.
use std::fs;
use std::path::Path;

use crate::report::error::{ActionFailed, Context};
use crate::state::durable;

/// Its name.
pub(crate) const NAME: &str = ".keelson-state";
const TEXT: &[u8] = b"This file system holds the state of a Keelson machine.\n";
/// What mkfs makes by itself.
const MADE_BY_MKFS: &str = "lost+found";

/// Whose file system it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It has the marker.
    Keelson,
    /// It is empty: made, but the power failed before the marker was written.
    Nobody,
    /// It has contents and no marker.
    Foreign,
}

/// Looks into a mounted file system.
pub(crate) fn owner(mount_point: &str) -> Result<Owner, ActionFailed> {
    let mut owner = Owner::Nobody;
    let listing = || format!("list {mount_point}");
    for entry in fs::read_dir(mount_point).context(listing)? {
        let name = entry.context(listing)?.file_name();
        if name == NAME {
            return Ok(Owner::Keelson);
        }
        // The marker itself, cut short while it was written, is nobody's data.
        let unowned = match name.to_str() {
            Some(MADE_BY_MKFS) => is_empty(&Path::new(mount_point).join(MADE_BY_MKFS))?,
            Some(".keelson-state.new") => true,
            _ => false,
        };
        if !unowned {
            owner = Owner::Foreign;
        }
    }
    Ok(owner)
}

/// What fsck has rescued is data, and the marker may be among it.
fn is_empty(folder: &Path) -> Result<bool, ActionFailed> {
    let mut entries = fs::read_dir(folder).context(|| format!("list {}", folder.display()))?;
    Ok(entries.next().is_none())
}

/// Marks a mounted file system, durably.
pub(crate) fn put(mount_point: &str) -> Result<(), ActionFailed> {
    let path = Path::new(mount_point).join(NAME);
    durable::write_file(&path, TEXT, 0o444).context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_decide_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mount_point = folder.path().to_str().unwrap();
        assert_eq!(owner(mount_point).unwrap(), Owner::Nobody);
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        fs::write(folder.path().join(".keelson-state.new"), "").unwrap();
        assert_eq!(owner(mount_point).unwrap(), Owner::Nobody);
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        assert_eq!(owner(mount_point).unwrap(), Owner::Foreign);
        put(mount_point).unwrap();
        assert_eq!(owner(mount_point).unwrap(), Owner::Keelson);
    }

    #[test]
    fn what_fsck_rescued_is_somebodys() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        fs::write(folder.path().join("lost+found/#12"), "").unwrap();
        assert_eq!(
            owner(folder.path().to_str().unwrap()).unwrap(),
            Owner::Foreign
        );
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_an_error() {
        assert!(owner("/nonexistent/state").is_err());
    }
}

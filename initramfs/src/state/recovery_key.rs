//! The second key of an encrypted volume, for people: a file of root's alone in the volume itself, from where they take it.
//!
//! It is drawn elsewhere, and in no log.
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::report::error::{ActionFailed, Context};
use crate::state::durable;

/// Below state.
const FOLDER: &str = "var/lib/keelson";
const NAME: &str = "recovery-key";

/// Writes it, durably.
pub(crate) fn put(state: &Path, key: &str) -> Result<(), ActionFailed> {
    let folder = state.join(FOLDER);
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o755)
        .create(&folder)
        .context(|| format!("create {}", folder.display()))?;
    let path = folder.join(NAME);
    let text = format!("{key}\n");
    durable::write_file(&path, text.as_bytes(), 0o400)
        .context(|| format!("write {}", path.display()))?;
    // The folders are new, too.
    let sync = fs::File::open(state).and_then(|state| Ok(rustix::fs::syncfs(state)?));
    sync.context(|| format!("sync {}", state.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_roots_alone() {
        let state = tempfile::tempdir().unwrap();
        put(state.path(), "abc").unwrap();
        let path = state.path().join("var/lib/keelson/recovery-key");
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
    }
}

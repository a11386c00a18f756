//! What the tests share: where the checkout is and which files git tracks in it.
//!
//! It builds nothing and starts no machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout that this test belongs to; of a program that neither cargo nor nextest started, the current
/// folder.
///
/// # Panics
/// Without a current folder.
pub fn checkout() -> PathBuf {
    let Some(package) = std::env::var_os("CARGO_MANIFEST_DIR") else {
        return std::env::current_dir().expect("a current folder");
    };
    let package = Path::new(&package);
    package
        .parent()
        .expect("this package is a folder of the checkout")
        .to_path_buf()
}

/// A file that git tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedFile {
    /// Its path relative to the checkout.
    pub path: String,
    /// Its contents.
    pub text: String,
}

impl TrackedFile {
    /// Whether its name ends in `.EXTENSION`.
    pub fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|e| e == extension)
    }
}

/// Code of others that is kept here; the repository's rules are for our own.
const THIRD_PARTY: &str = "crates/base2histogram/";

/// The regular files of ours that git tracks, with their contents; bytes that are no UTF-8 are replaced.
///
/// # Panics
/// When git fails or a file cannot be read.
pub fn tracked_files() -> Vec<TrackedFile> {
    let root = checkout();
    // A checkout that belongs to another user, as in many containers, is read all the same.
    let listing = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(&root)
        .output()
        .expect("git can be started");
    assert!(
        listing.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&listing.stderr)
    );
    String::from_utf8_lossy(&listing.stdout)
        .split_terminator('\0')
        .filter(|path| !path.starts_with(THIRD_PARTY))
        // Deleted but not committed yet, and links, which have no contents of their own.
        .filter(|path| {
            root.join(path)
                .symlink_metadata()
                .is_ok_and(|m| m.is_file())
        })
        .map(|path| TrackedFile {
            path: path.to_owned(),
            text: String::from_utf8_lossy(&read(&root.join(path))).into_owned(),
        })
        .collect()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

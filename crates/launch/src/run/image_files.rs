//! Files of the image: `/etc/passwd` and `/etc/group`, read where the image's links lead.
//!
//! A link of an image never leads out of it: the kernel resolves all of a path below the image's root.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

/// Nobody has longer ones, and an image is not to fill memory.
const LENGTH_MAX: u64 = 4 * 1024 * 1024;

/// A file below a root; empty if it is not there.
pub(crate) fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    match open(root, path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(LENGTH_MAX)
                .read_to_end(&mut bytes)
                .with_context(|| path.to_owned())?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("the image's {path}")),
    }
}

fn open(root: &Path, path: &str) -> io::Result<File> {
    let root = openat(
        CWD,
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    // NONBLOCK: what is a pipe in the image is not waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: File = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?.into();
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_image() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("etc/group")).unwrap();
        assert_eq!(
            read(root.path(), "etc/group").unwrap(),
            "",
            "leads to a file that the image has not"
        );
        std::fs::write(root.path().join("etc/passwd"), "own").unwrap();
        assert_eq!(read(root.path(), "etc/group").unwrap(), "own");
        assert!(read(root.path(), "etc").is_err());
    }
}

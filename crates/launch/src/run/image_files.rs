//! Files of the image: `/etc/passwd` and `/etc/group`, read where the image's links lead.
//!
//! A link of an image never leads out of it: the kernel resolves all of a path below the image's root.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

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

/// A folder below a root, for looking below it; none if there is nothing, or no folder.
pub(crate) fn open_folder(root: &Path, path: &str) -> anyhow::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let context = || format!("the image's {path}");
    let root = openat(CWD, root, flags, Mode::empty()).with_context(context)?;
    match openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error).with_context(context),
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
        let folder = |path| open_folder(root.path(), path).unwrap().is_some();
        std::os::unix::fs::symlink("/", root.path().join("up")).unwrap();
        assert!(folder("/up/etc"), "leads to the image's root");
        assert!(!folder("/up/proc") && !folder("/etc/passwd") && !folder("/etc/passwd/a"));
    }
}

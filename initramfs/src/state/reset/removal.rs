//! Removes trees, also those that are marked not to be changed (`chattr +i`, `+a`).
//!
//! It follows no symbolic link, and crosses into no other file system because none is mounted yet.
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};

/// Removes a file, or a folder with all that is in it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match remove_unmarked(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            unmark_tree(path);
            remove_unmarked(path)
        }
        result => result,
    }
}

fn remove_unmarked(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn unmark_tree(path: &Path) {
    unmark(path);
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let entries = is_folder.then(|| fs::read_dir(path).ok()).flatten();
    for entry in entries.into_iter().flatten().flatten() {
        unmark_tree(&entry.path());
    }
}

/// Takes the marks away. Whether that was needed and worked is seen by what is done next.
pub(super) fn unmark(path: &Path) {
    let is_markable = |metadata: &fs::Metadata| metadata.is_dir() || metadata.is_file();
    if !fs::symlink_metadata(path).is_ok_and(|metadata| is_markable(&metadata)) {
        return; // opening a pipe or a device could do something
    }
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    if let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) {
        let _ = clear_marks(&file);
    }
}

fn clear_marks(file: &File) -> rustix::io::Result<()> {
    let marks = IFlags::IMMUTABLE | IFlags::APPEND;
    let flags = ioctl_getflags(file)?;
    if flags.intersects(marks) {
        ioctl_setflags(file, flags.difference(marks))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mark(path: &Path, marks: IFlags) -> rustix::io::Result<()> {
        let file = File::open(path).unwrap();
        let flags = ioctl_getflags(&file)?;
        ioctl_setflags(&file, flags | marks)
    }

    #[test]
    fn links_go_and_what_they_point_to_stays() {
        let base = tempfile::tempdir().unwrap();
        let (tree, outside) = (base.path().join("tree"), base.path().join("outside"));
        fs::create_dir_all(tree.join("deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        symlink(&outside, tree.join("deep/link")).unwrap();
        remove(&tree).unwrap();
        symlink(&outside, &tree).unwrap();
        remove(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err());
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn what_is_marked_not_to_be_changed_goes_too() {
        let base = tempfile::tempdir().unwrap();
        let tree = base.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for name in ["immutable", "append-only", "plain"] {
            fs::write(tree.join(name), "").unwrap();
        }
        let marked = mark(&tree.join("immutable"), IFlags::IMMUTABLE)
            .and_then(|()| mark(&tree.join("append-only"), IFlags::APPEND))
            .and_then(|()| mark(&tree, IFlags::IMMUTABLE));
        if marked.is_err() {
            return; // only root can, and not on every file system
        }
        assert!(fs::remove_dir_all(&tree).is_err());
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let base = tempfile::tempdir().unwrap();
        assert!(remove(&base.path().join("nothing")).is_err());
    }
}

//! Copies the upper layer of an overlay: files, folders, links, whiteouts, owners, modes, times
//! and extended attributes.
//!
//! Hard links come out as separate files and sockets are left out; neither belongs in `/etc`.
//! It does not sync; the caller does so once for the whole tree.
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, lgetxattr,
    lgetxattr_query, llistxattr, llistxattr_query, lsetxattr, major, makedev, minor, mknodat,
    utimensat,
};

/// Attributes in which overlayfs notes things about the lower layer that was; copied, they
/// would be about the wrong one.
const ABOUT_THE_OLD_LOWER_LAYER: [&[u8]; 4] = [
    b"trusted.overlay.impure",
    b"trusted.overlay.nlink",
    b"trusted.overlay.origin",
    b"trusted.overlay.uuid",
];

/// A tree that could not be copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot copy {}", path.display())]
pub(crate) struct CopyError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Copies a folder's contents and attributes into one that does not exist yet, leaving out the
/// direct children that `leave_out` names.
pub(crate) fn copy(from: &Path, to: &Path, leave_out: &[&str]) -> Result<(), CopyError> {
    let failed = |source| CopyError {
        path: from.to_owned(),
        source,
    };
    let metadata = fs::symlink_metadata(from).map_err(failed)?;
    fs::create_dir(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !leave_out.iter().any(|out| name == *out) {
            copy_entry(&from.join(&name), &to.join(&name))?;
        }
    }
    copy_attributes(from, to, &metadata).map_err(failed)
}

fn copy_entry(from: &Path, to: &Path) -> Result<(), CopyError> {
    let failed = |source| CopyError {
        path: from.to_owned(),
        source,
    };
    let metadata = fs::symlink_metadata(from).map_err(failed)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return copy(from, to, &[]);
    }
    if kind.is_socket() {
        return Ok(());
    }
    create_like(from, to, &metadata).map_err(failed)?;
    copy_attributes(from, to, &metadata).map_err(failed)
}

fn create_like(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if kind.is_file() {
        let mut source = File::open(from)?;
        io::copy(&mut source, &mut File::create_new(to)?)?;
        return Ok(());
    }
    // A device 0:0 is a whiteout: the file is deleted in the merged view.
    let kind = FileType::from_raw_mode(metadata.mode());
    let device = makedev(major(metadata.rdev()), minor(metadata.rdev()));
    Ok(mknodat(CWD, to, kind, Mode::empty(), device)?)
}

/// The owner before the mode (chown drops setuid), the times last.
fn copy_attributes(from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    let (owner, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    chownat(CWD, to, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if !metadata.file_type().is_symlink() {
        fs::set_permissions(to, metadata.permissions())?;
    }
    copy_extended_attributes(from, to)?;
    let times = Timestamps {
        last_access: timespec(metadata.atime(), metadata.atime_nsec()),
        last_modification: timespec(metadata.mtime(), metadata.mtime_nsec()),
    };
    Ok(utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn timespec(seconds: i64, nanoseconds: i64) -> Timespec {
    Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    }
}

fn copy_extended_attributes(from: &Path, to: &Path) -> io::Result<()> {
    for name in extended_attribute_names(from)? {
        if !ABOUT_THE_OLD_LOWER_LAYER.contains(&name.as_bytes()) {
            let mut value = vec![0; lgetxattr_query(from, name.as_c_str())?];
            let length = lgetxattr(from, name.as_c_str(), value.as_mut_slice())?;
            value.truncate(length);
            lsetxattr(to, name.as_c_str(), &value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn extended_attribute_names(path: &Path) -> io::Result<Vec<CString>> {
    let mut list = vec![0_u8; llistxattr_query(path)?];
    let length = llistxattr(path, list.as_mut_slice())?;
    list.truncate(length);
    let names = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| CString::new(name).map_err(io::Error::from))
        .collect()
}

#[cfg(test)]
mod tests;

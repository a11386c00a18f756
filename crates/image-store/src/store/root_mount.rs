//! A container's root as a mount that is in nobody's tree yet: whoever wants it attaches it, or looks into it by its
//! descriptor. It is gone with the last of both, however that process ends.

use std::os::fd::OwnedFd;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};
use thiserror::Error;

/// One mount that makes a root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootMount {
    /// `overlay` or `bind`.
    pub kind: String,
    /// What is bound.
    pub source: String,
    /// Options such as `upperdir=…`.
    pub options: Vec<String>,
}

/// Why a root is not mounted.
#[derive(Debug, Error)]
pub enum MountError {
    /// A snapshotter that nobody knows here.
    #[error("the snapshotter wants a mount of type {0}, which is not supported")]
    Kind(String),
    /// The kernel refuses an option or a folder.
    #[error("{what}")]
    Refused {
        /// Which.
        what: String,
        /// Why.
        source: Errno,
    },
    /// The kernel refuses the mount.
    #[error(transparent)]
    Mount(#[from] Errno),
}

impl RootMount {
    /// Mounts it nowhere. The options of the mount alone do not matter to a root of an image.
    pub fn mount(&self) -> Result<OwnedFd, MountError> {
        match self.kind.as_str() {
            "overlay" => overlay(&self.options),
            "bind" => {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                let tree = open_tree(CWD, self.source.as_str(), flags);
                tree.map_err(refused(&self.source))
            }
            other => Err(MountError::Kind(other.to_owned())),
        }
    }
}

fn refused(what: &str) -> impl Fn(Errno) -> MountError {
    move |source| MountError::Refused {
        what: what.to_owned(),
        source,
    }
}

/// Each layer is an option of its own: an image may have more than fit into one.
fn overlay(options: &[String]) -> Result<OwnedFd, MountError> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for option in options {
        match option.split_once('=') {
            Some(("lowerdir", folders)) => {
                for folder in folders.split(':') {
                    let set = fsconfig_set_string(&context, "lowerdir+", folder);
                    set.map_err(refused(folder))?;
                }
            }
            Some((key, value)) => {
                fsconfig_set_string(&context, key, value).map_err(refused(option))?;
            }
            None => fsconfig_set_flag(&context, option.as_str()).map_err(refused(option))?,
        }
    }
    fsconfig_create(&context)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    Ok(fsmount(&context, flags, MountAttrFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_kinds_are_refused_by_name() {
        let root = RootMount {
            kind: "btrfs".to_owned(),
            source: "/dev/a".to_owned(),
            options: Vec::new(),
        };
        let error = root.mount().unwrap_err().to_string();
        assert!(error.contains("a mount of type btrfs"), "{error}");
        let gone = RootMount {
            kind: "bind".to_owned(),
            source: "/nowhere/at/all".to_owned(),
            options: Vec::new(),
        };
        let error = gone.mount().unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/at/all");
    }
}

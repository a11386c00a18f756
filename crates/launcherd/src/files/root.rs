//! The root of a container's files, and what stands where in it. The kernel resolves each path below that root:
//! a link never leads out of it, whoever changes it meanwhile.
//!
//! Of a container that runs it is what its processes see, with its volumes. One that does not run has its root
//! mounted for as long as somebody looks, in no folder of the machine; it cannot be started meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use engine_api::{ApiError, Record};
use image_store::store::RootMount;
use image_store::unpack;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat, openat2, readlinkat, statx,
};
use rustix::io::Errno;
use tokio::sync::OwnedMutexGuard;

use super::container_path::ContainerPath;
use crate::answer::{internal, of_store};
use crate::engine::{self, Engine};
use crate::images;
use crate::records::unit_name;

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;
/// How often a path is looked up again whose folders are being moved.
const LOOKUPS_MAX: usize = 64;
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A root.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    /// Nobody starts the container as long as its root is mounted here.
    _alone: Option<OwnedMutexGuard<()>>,
}

/// The root of a container, whether it runs or not.
pub(super) async fn open(engine: &Engine, record: &Record) -> Result<Root, ApiError> {
    if engine.state(record).await?.is_alive() {
        return running(record);
    }
    let alone = engine.lock(&record.id).await;
    if engine.state(record).await?.is_alive() {
        return running(record);
    }
    let mount = match engine.store().await?.existing_root(&record.id).await {
        Ok(Some(mount)) => mount,
        Ok(None) => new_root(engine, record).await?,
        Err(error) => return Err(of_store(error)),
    };
    let folder = mount
        .mount()
        .context("the container's root cannot be mounted");
    let folder = folder.map_err(|error| internal(&error))?;
    Ok(Root {
        folder,
        _alone: Some(alone),
    })
}

/// What a container's processes see. Its number may have been given to another process: what was opened counts
/// only if the number is still of the container's after that.
fn running(record: &Record) -> Result<Root, ApiError> {
    let gone = || {
        let text = "is between two runs: wait until it runs, or stop it";
        ApiError::conflict(format!("container {} {text}", record.name))
    };
    let pid = engine::payload(&record.id).ok_or_else(gone)?;
    let folder = openat(CWD, format!("/proc/{pid}/root"), FOLDER, Mode::empty());
    let folder = folder.map_err(|_| gone())?;
    let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    if !group.contains(&unit_name(&record.id)) {
        return Err(gone());
    }
    Ok(Root {
        folder,
        _alone: None,
    })
}

/// The writable root that the first run will have.
async fn new_root(engine: &Engine, record: &Record) -> Result<RootMount, ApiError> {
    let image = images::find(engine, &record.image_id).await?.image;
    let store = engine.store().await?;
    let root = async {
        let lease = store.lease("copy").await?;
        let root = async {
            let unpacked = unpack::unpack(lease.store(), &image).await?;
            lease
                .store()
                .container_root(&record.id, &unpacked.top, true)
                .await
        };
        let root = root.await;
        let ended = lease.end().await;
        let root = root?.context("the image's layers were removed while they were unpacked")?;
        ended?;
        anyhow::Ok(root)
    };
    root.await.map_err(|error| internal(&error))
}

impl Root {
    /// Of a folder of the machine, for tests.
    #[cfg(test)]
    pub(super) fn of_folder(path: &std::path::Path) -> Self {
        Self {
            folder: openat(CWD, path, FOLDER, Mode::empty()).expect("a folder"),
            _alone: None,
        }
    }

    /// A folder, wherever links lead below the root.
    pub(super) fn folder(&self, parts: &[OsString]) -> Result<OwnedFd, Errno> {
        self.look_up(parts, FOLDER)
    }

    /// What a path means, without reading it. A link at its end is meant itself.
    pub(super) fn find(&self, path: &ContainerPath) -> Result<OwnedFd, Errno> {
        match path.split() {
            (parents, Some(name)) => child(self.folder(parents)?, name),
            (parts, None) => self.folder(parts),
        }
    }

    fn look_up(&self, parts: &[OsString], flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = match parts {
            [] => PathBuf::from("."),
            parts => parts.iter().collect(),
        };
        for _ in 0..LOOKUPS_MAX {
            match openat2(&self.folder, &path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Where a path leads in the container, through all links; what is not there stands as it was written.
    pub(super) fn target(&self, path: &ContainerPath) -> Result<Vec<OsString>, Errno> {
        let mut rest: VecDeque<OsString> = path.parts().iter().cloned().collect();
        let mut parts: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                parts.pop();
                continue;
            }
            parts.push(part);
            let Some(link) = self.link(&parts) else {
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::LOOP);
            }
            parts.pop();
            if link.as_bytes().starts_with(b"/") {
                parts.clear();
            }
            let words = link.as_bytes().split(|byte| *byte == b'/');
            let words = words.filter(|word| !matches!(*word, b"" | b"."));
            for word in words.rev() {
                rest.push_front(OsStr::from_bytes(word).to_owned());
            }
        }
        Ok(parts)
    }

    fn link(&self, parts: &[OsString]) -> Option<OsString> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = self.look_up(parts, flags).ok()?;
        read_link(node).ok()
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// What has a name in a folder, itself and not what it leads to.
pub(super) fn child(folder: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Where a link leads; an error for everything else.
pub(super) fn read_link(node: impl AsFd) -> Result<OsString, Errno> {
    let target = readlinkat(node, "", Vec::new())?;
    Ok(OsStr::from_bytes(target.as_bytes()).to_owned())
}

/// All that is known of it.
pub(super) fn facts(node: impl AsFd) -> Result<Statx, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    statx(node, "", AtFlags::EMPTY_PATH, wanted)
}

/// Opens what was found for reading: a file or a folder, and nothing else, which might wait or act.
pub(super) fn reopen(node: &OwnedFd) -> Result<File, Errno> {
    let path = format!("/proc/self/fd/{}", node.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    openat(CWD, path, flags, Mode::empty()).map(File::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::container_path::text;
    use super::*;

    #[test]
    fn links_stay_below_the_root() {
        let machine = tempfile::tempdir().unwrap();
        let root = machine.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(machine.path().join("secret"), "of the machine").unwrap();
        std::fs::write(root.join("secret"), "own").unwrap();
        symlink("../../../secret", root.join("etc/up")).unwrap();
        symlink(machine.path(), root.join("out")).unwrap();
        symlink("/etc/up", root.join("chain")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let root = Root::of_folder(&root);
        let path = |text: &str| ContainerPath::parse(text).unwrap();
        let target = |of: &str| root.target(&path(of)).map(|parts| text(&parts));
        assert_eq!(target("/etc/up"), Ok("/secret".to_owned()));
        assert_eq!(target("/chain"), Ok("/secret".to_owned()));
        assert_eq!(target("/etc/../none/x"), Ok("/none/x".to_owned()));
        assert_eq!(target("/loop"), Err(Errno::LOOP));
        // The machine's folder is not in the container.
        assert_eq!(root.find(&path("/out/secret")).unwrap_err(), Errno::NOENT);
        assert_eq!(root.find(&path("/out/")).unwrap_err(), Errno::NOENT);
        let link = root.find(&path("/etc/up")).unwrap();
        assert_eq!(read_link(link).unwrap(), "../../../secret");
        let folder = root.find(&path("/etc/.")).unwrap();
        assert_eq!(facts(folder).unwrap().stx_mode & 0o170_000, 0o040_000);
        assert_eq!(root.find(&path("/secret/")).unwrap_err(), Errno::NOTDIR);
    }
}

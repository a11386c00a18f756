//! What is changed below a root: durably, each file and link in one step, never through a link.
//!
//! Paths are real ones; a link that has come in between makes the kernel refuse.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::{Kind, Owner, Root, is_absent, join, names, seen, split};

/// What is not complete yet has this name; one that a power cut has left is replaced.
const TEMPORARY: &str = ".provision-new";

/// What all that edit accounts lock (lckpwdf(3)).
const LOCK: &str = "/etc/.pwd.lock";

impl Root {
    /// Keeps others from editing the root's accounts while the answer lives.
    ///
    /// # Errors
    /// If somebody does at the moment.
    pub fn lock_accounts(&self) -> io::Result<OwnedFd> {
        self.make_parents(LOCK)?;
        let (folder, name) = self.folder_of(LOCK)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o600))?;
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// A path's folder, open so that it can be synced.
    fn folder_of<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (parent, name) = split(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = self.open_below(parent, flags, ResolveFlags::NO_SYMLINKS)?;
        Ok((folder, name))
    }

    /// Puts a file in place of what is there, which is no directory.
    ///
    /// # Errors
    /// If the kernel refuses; then the file is as it was.
    pub fn write(&self, path: &str, bytes: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
        self.replace(path, |folder| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(folder, TEMPORARY, flags, Mode::from_raw_mode(0o600))?;
            let mut file = File::from(file);
            file.write_all(bytes)?;
            let file = OwnedFd::from(file);
            set(&file, mode, owner)?;
            Ok(rustix::fs::fsync(&file)?)
        })
    }

    /// Puts a symbolic link in place of what is there, which is no directory.
    ///
    /// # Errors
    /// As [`Root::write`].
    pub fn symlink(&self, path: &str, target: &str, owner: Owner) -> io::Result<()> {
        let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
        self.replace(path, |folder| {
            rustix::fs::symlinkat(target, folder, TEMPORARY)?;
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            Ok(rustix::fs::chownat(
                folder,
                TEMPORARY,
                Some(user),
                Some(group),
                flags,
            )?)
        })
    }

    /// Puts another name of a file in place of what is there, which is no directory.
    ///
    /// # Errors
    /// As [`Root::write`].
    pub fn hard_link(&self, path: &str, target: &str) -> io::Result<()> {
        let (other, name) = self.folder_of(target)?;
        self.replace(path, |folder| {
            Ok(rustix::fs::linkat(
                &other,
                name,
                folder,
                TEMPORARY,
                AtFlags::empty(),
            )?)
        })
    }

    fn replace(&self, path: &str, make: impl FnOnce(&OwnedFd) -> io::Result<()>) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        forget_temporary(&folder)?;
        let replaced = make(&folder)
            .and_then(|()| Ok(rustix::fs::renameat(&folder, TEMPORARY, &folder, name)?));
        // A rename over another name of the same file leaves both, and says nothing.
        let forgotten = forget_temporary(&folder);
        replaced.and(forgotten)?;
        Ok(rustix::fs::fsync(&folder)?)
    }

    /// Makes a directory that is not there, filled before it has its name.
    ///
    /// # Errors
    /// If the kernel refuses, or something is there.
    pub fn make_directory(
        &self,
        path: &str,
        mode: u32,
        owner: Owner,
        fill: impl FnOnce(&str) -> io::Result<()>,
    ) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        forget_temporary(&folder)?;
        rustix::fs::mkdirat(&folder, TEMPORARY, Mode::from_raw_mode(0o700))?;
        let temporary = join(split(path).0, TEMPORARY);
        fill(&temporary)?;
        self.set_attributes(&temporary, mode, owner)?;
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&folder, TEMPORARY, &folder, name, flags)?;
        Ok(rustix::fs::fsync(&folder)?)
    }

    /// Makes the directories above a path that are missing: root's, 0755.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn make_parents(&self, path: &str) -> io::Result<()> {
        let (parent, _) = split(path);
        if parent == "/" || self.look(parent)?.is_some() {
            return Ok(());
        }
        self.make_parents(parent)?;
        self.make_directory(parent, 0o755, Owner::default(), |_| Ok(()))
    }

    /// Sets mode and owner of a file or directory.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_attributes(&self, path: &str, mode: u32, owner: Owner) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let node = self.open_below(path, flags, ResolveFlags::NO_SYMLINKS)?;
        set(&node, mode, owner)?;
        Ok(rustix::fs::fsync(&node)?)
    }

    /// Removes what is at a path, with all that is in it; another file system in it is an error.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn remove(&self, path: &str) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        remove_in(&folder, name)?;
        Ok(rustix::fs::fsync(&folder)?)
    }
}

/// The owner first: changing it takes set-user-id away.
fn set(node: &OwnedFd, mode: u32, owner: Owner) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
    rustix::fs::fchown(node, Some(user), Some(group))?;
    Ok(rustix::fs::fchmod(node, Mode::from_raw_mode(mode))?)
}

fn forget_temporary(folder: &OwnedFd) -> io::Result<()> {
    match remove_in(folder, TEMPORARY) {
        Err(error) if is_absent(&error) => Ok(()),
        removed => removed,
    }
}

fn remove_in(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        removed => return Ok(removed?),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    let (outside, inside) = (seen(folder)?, seen(&inner)?);
    if outside.node.0 != inside.node.0 || inside.kind != Kind::Directory {
        return Err(Errno::BUSY.into());
    }
    for name in names(&inner)? {
        remove_in(&inner, &name)?;
    }
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}

//! A folder that is some system's `/`, and what is below it.
//!
//! Looking follows links as that system would: an absolute link leads to the folder, and nothing leads out of
//! it. Writing follows none at all: whoever writes has asked [`Root::real_path`] first. It decides
//! nothing about what may be written.

mod change;
mod real_path;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub use real_path::PathProblem;

/// How often something may be renamed under a path while it is looked up.
const ATTEMPTS: usize = 32;

/// The root.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
}

/// A user and a group, by their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of which kind.
    pub kind: Kind,
    /// Permissions, at most 0o7777.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// File system and number of the node.
    pub node: (u64, u64),
}

/// Kinds of what can be at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, with where it points.
    Link(String),
    /// A device, a pipe, a socket.
    Other,
}

impl Kind {
    /// In words, with its article.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File => "a file",
            Self::Link(_) => "a link",
            Self::Other => "a device, pipe or socket",
        }
    }
}

/// The parent's path and the name in it, of an absolute path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => ("/", path),
    }
}

/// A path in a folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

impl Root {
    /// Takes a folder as root.
    ///
    /// # Errors
    /// If it cannot be opened as a directory.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        Ok(Self { folder })
    }

    fn open_below(&self, path: &str, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        let resolve = resolve | ResolveFlags::IN_ROOT;
        let flags = flags | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            // The kernel gives up when something was renamed meanwhile, and asks to try again.
            match rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                opened => return Ok(opened?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// What a path's name is at, not followed; `None` if nothing is there.
    ///
    /// # Errors
    /// If the kernel refuses to look.
    pub fn look(&self, path: &str) -> io::Result<Option<Seen>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        match self.open_below(path, flags, ResolveFlags::empty()) {
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(node) => seen(&node).map(Some),
        }
    }

    /// Whether a path leads to something, links followed.
    pub fn exists(&self, path: &str) -> bool {
        self.open_below(path, OFlags::PATH, ResolveFlags::empty())
            .is_ok()
    }

    /// The bytes of a file, links followed; `None` if it is not there.
    ///
    /// # Errors
    /// If it cannot be read, or is no file.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        // A pipe must not make this wait.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match self.open_below(path, flags, ResolveFlags::empty()) {
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        File::from(file).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// As [`Root::read`], as text; what is not UTF-8 is an error.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn read_text(&self, path: &str) -> io::Result<Option<String>> {
        let bytes = self.read(path)?;
        bytes
            .map(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .transpose()
    }

    /// The names in a directory, sorted; none if it is not there.
    ///
    /// # Errors
    /// If it cannot be read, or a name is not UTF-8.
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match self.open_below(path, flags, ResolveFlags::empty()) {
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(folder) => names(&folder),
        }
    }
}

/// Whether there is nothing at a path: a file on the way counts as nothing, too.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_owned();
        let name = name.into_string().map_err(io::Error::other)?;
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn seen(node: &OwnedFd) -> io::Result<Seen> {
    let stat = rustix::fs::statat(node, "", AtFlags::EMPTY_PATH)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(node, "", Vec::new())?;
            Kind::Link(target.into_string().map_err(io::Error::other)?)
        }
        _ => Kind::Other,
    };
    Ok(Seen {
        kind,
        mode: stat.st_mode & 0o7777,
        owner: Owner {
            user: stat.st_uid,
            group: stat.st_gid,
        },
        node: (stat.st_dev, stat.st_ino),
    })
}

#[cfg(test)]
mod tests;

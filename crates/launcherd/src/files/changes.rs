//! What a container changed of its image's files: its own layer held against those below, as the kernel's overlay
//! reads them.
//!
//! Nothing is mounted, and contents are not compared: what was opened for writing is in the own layer.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, Stat, fgetxattr, lgetxattr, openat, statat};
use serde_json::{Value, json};

/// On a folder that hides what is below it.
const OPAQUE: &str = "trusted.overlay.opaque";
const TYPE_MASK: u32 = 0o170_000;
/// Made for each container at its start, to mount something there.
const MOUNT_POINTS: &[&str] = &[
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/run/notify",
    "/sys",
];

/// What happened to a path; the API's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Changed = 0,
    Added = 1,
    Deleted = 2,
}

/// A path with what happened to it.
#[derive(Debug)]
struct Change {
    path: String,
    kind: Kind,
    /// A folder that is as it was, whatever is in it.
    is_same_folder: bool,
}

/// The layers of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layers {
    upper: PathBuf,
    /// The highest first.
    lower: Vec<PathBuf>,
}

/// A folder of the own layer that is to be read, and the folders that it is over.
struct Pending {
    folder: OwnedFd,
    below: Vec<PathBuf>,
    path: String,
}

impl Layers {
    /// Of the options of a mount; none if it is no overlay that can be written.
    pub(super) fn of_options(options: &[String]) -> Option<Self> {
        let value = |key: &str| {
            let mut found = options.iter().filter_map(|option| option.split_once('='));
            found.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        let lower = value("lowerdir")?.split(':').map(PathBuf::from);
        Some(Self {
            upper: value("upperdir")?.into(),
            lower: lower.collect(),
        })
    }

    /// As the API tells them, in the order of their paths.
    pub(super) fn changes(&self) -> io::Result<Value> {
        let mut changes = self.all()?;
        // What is in a folder follows it at once: `/a/b` before `/a-b`.
        changes.sort_by_key(|change| change.path.replace('/', "\0"));
        let hidden = |change: &Change| {
            change.kind == Kind::Added && MOUNT_POINTS.contains(&change.path.as_str())
        };
        changes.retain(|change| !hidden(change));
        let mut kept: Vec<Change> = Vec::new();
        for change in changes.into_iter().rev() {
            let within = format!("{}/", change.path);
            let is_in = |path: &str| path.starts_with(&within);
            let has_some = kept.last().is_some_and(|last| is_in(&last.path));
            let is_for_mounts =
                change.kind == Kind::Added && MOUNT_POINTS.iter().any(|path| is_in(path));
            if has_some || !(change.is_same_folder || is_for_mounts) {
                kept.push(change);
            }
        }
        let entries = kept.iter().rev();
        let entry = |change: &Change| json!({"Path": change.path, "Kind": change.kind as u8});
        Ok(entries.map(entry).collect())
    }

    fn all(&self) -> io::Result<Vec<Change>> {
        let mut found = Vec::new();
        let mut pending = vec![Pending {
            folder: open(CWD, &self.upper)?,
            below: self.lower.clone(),
            path: String::new(),
        }];
        while let Some(next) = pending.pop() {
            for name in names(&next.folder)? {
                // It was removed meanwhile.
                let Ok(facts) = statat(&next.folder, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                    continue;
                };
                pending.extend(look(&next, &name, &facts, &mut found)?);
            }
        }
        Ok(found)
    }
}

/// Takes one name of the own layer for what it is, and gives back a folder to go on with.
fn look(
    at: &Pending,
    name: &OsString,
    facts: &Stat,
    found: &mut Vec<Change>,
) -> io::Result<Option<Pending>> {
    let path = format!("{}/{}", at.path, name.to_string_lossy());
    let below = below(&at.below, name)?;
    if facts.st_mode & TYPE_MASK == 0o020_000 && facts.st_rdev == 0 {
        // Something was hidden that is not even there.
        if below.is_some() {
            found.push(Change {
                path,
                kind: Kind::Deleted,
                is_same_folder: false,
            });
        }
        return Ok(None);
    }
    let is_folder = facts.st_mode & TYPE_MASK == 0o040_000;
    let is_same = |below: &Path| {
        let there = fs::symlink_metadata(below);
        there.is_ok_and(|there| {
            there.mode() == facts.st_mode
                && (there.uid(), there.gid()) == (facts.st_uid, facts.st_gid)
        })
    };
    let same_folder = below.as_ref().and_then(|folders| folders.first());
    found.push(Change {
        path: path.clone(),
        kind: if below.is_some() {
            Kind::Changed
        } else {
            Kind::Added
        },
        is_same_folder: is_folder && same_folder.is_some_and(|folder| is_same(folder)),
    });
    if !is_folder {
        return Ok(None);
    }
    let folder = open(&at.folder, Path::new(name))?;
    let mut value = [0_u8; 1];
    let is_opaque = fgetxattr(&folder, OPAQUE, &mut value).is_ok() && value == *b"y";
    let below = below.filter(|_| !is_opaque).unwrap_or_default();
    Ok(Some(Pending {
        folder,
        below,
        path,
    }))
}

/// What lies under a name: none if nothing does, and of a folder those that are seen together.
fn below(folders: &[PathBuf], name: &OsString) -> io::Result<Option<Vec<PathBuf>>> {
    let mut seen = None;
    for folder in folders {
        let path = folder.join(name);
        let facts = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            facts => facts?,
        };
        let is_hidden = facts.file_type().is_char_device() && facts.rdev() == 0;
        if is_hidden {
            break;
        }
        if !facts.is_dir() {
            // A file hides what is below it, and is hidden by a folder above.
            seen.get_or_insert_with(Vec::new);
            break;
        }
        let mut value = [0_u8; 1];
        let is_opaque = lgetxattr(&path, OPAQUE, &mut value).is_ok() && value == *b"y";
        seen.get_or_insert_with(Vec::new).push(path);
        if is_opaque {
            break;
        }
    }
    Ok(seen)
}

/// A folder itself: the container may put a link there meanwhile.
fn open(folder: impl std::os::fd::AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, path, flags, Mode::empty())?)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    use std::os::unix::ffi::OsStringExt as _;
    let folder = File::from(folder.try_clone()?);
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    fn changes(layers: &Layers) -> Vec<(String, u64)> {
        let value = layers.changes().unwrap();
        let entries = value.as_array().unwrap().iter();
        entries
            .map(|entry| {
                let path = entry["Path"].as_str().unwrap().to_owned();
                (path, entry["Kind"].as_u64().unwrap())
            })
            .collect()
    }

    /// Hidden names take privileges to be made: they are tested where containers run.
    #[test]
    fn the_own_layer_is_held_against_those_below() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["1/etc/passwd", "1/etc/ssl/a", "2/srv/page", "1/opt/a"] {
            write(&at(path));
        }
        for path in [
            "own/etc/passwd",
            "own/etc/ssl/new",
            "own/srv/page",
            "own/added/file",
            "own/etc/hosts",
            "own/run/notify",
            "own/opt/x",
        ] {
            write(&at(path));
        }
        fs::remove_file(at("own/opt/x")).unwrap();
        fs::set_permissions(at("own/opt"), fs::Permissions::from_mode(0o711)).unwrap();
        fs::create_dir_all(at("own/dev")).unwrap();
        let layers = Layers {
            upper: at("own"),
            lower: vec![at("2"), at("1")],
        };
        let expected = [
            ("/added", 1),
            ("/added/file", 1),
            ("/etc", 0),
            ("/etc/passwd", 0),
            ("/etc/ssl", 0),
            ("/etc/ssl/new", 1),
            ("/opt", 0),
            ("/srv", 0),
            ("/srv/page", 0),
        ];
        let expected = expected.map(|(path, kind)| (path.to_owned(), kind));
        assert_eq!(changes(&layers), expected);
        // Folders in which only the container's own mount points were made.
        for path in ["own/etc/passwd", "own/etc/ssl/new"] {
            fs::remove_file(at(path)).unwrap();
        }
        let left: Vec<String> = changes(&layers)
            .into_iter()
            .map(|change| change.0)
            .collect();
        assert_eq!(left, ["/added", "/added/file", "/opt", "/srv", "/srv/page"]);
    }

    #[test]
    fn layers_stand_in_the_mounts_options() {
        let options = ["index=off", "workdir=/w", "upperdir=/u", "lowerdir=/b:/a"];
        let layers = Layers::of_options(&options.map(ToOwned::to_owned));
        let expected = Layers {
            upper: "/u".into(),
            lower: vec!["/b".into(), "/a".into()],
        };
        assert_eq!(layers, Some(expected));
        assert_eq!(Layers::of_options(&["lowerdir=/a".to_owned()]), None);
    }
}

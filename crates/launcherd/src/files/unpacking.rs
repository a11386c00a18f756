//! A tar archive into a folder of a container.
//!
//! Each path is resolved below the container's root, whatever links an archive makes or a process of the container
//! makes meanwhile; the last part of it is never followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use engine_api::ApiError;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chmodat, chownat, linkat,
    makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType, Header};

use super::container_path::{ContainerPath, clean, text};
use super::root::Root;

const TYPE_MASK: u32 = 0o170_000;
const PERMISSIONS: u32 = 0o7777;
/// Of folders that the archive does not name.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// How an archive is unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// Whether a folder stays a folder, and what is none stays none.
    pub(super) keeps_kinds: bool,
    /// Who owns all of it; else whoever the archive says.
    pub(super) owner: Option<(u32, u32)>,
}

/// Unpacking that goes on.
struct Unpacking<'a> {
    root: &'a Root,
    /// Where to.
    folder: Vec<OsString>,
    rules: Rules,
    /// Folders, whose times count once all that is in them is written.
    folders: Vec<(Vec<OsString>, Timestamps)>,
}

/// Where an entry goes, and what it is.
struct Place {
    /// Its folder.
    parent: OwnedFd,
    name: OsString,
    /// From the root.
    parts: Vec<OsString>,
}

/// Unpacks an archive into a folder that is there.
pub(super) fn unpack(
    root: &Root,
    path: &ContainerPath,
    from: impl Read,
    rules: Rules,
) -> Result<(), ApiError> {
    root.folder(path.parts()).map_err(|error| match error {
        Errno::NOTDIR => ApiError::bad_request("extraction point is not a directory"),
        error => super::failure(path, error),
    })?;
    let mut unpacking = Unpacking {
        root,
        folder: path.parts().to_vec(),
        rules,
        folders: Vec::new(),
    };
    let bad = |error: io::Error| failed("the archive", &error);
    let mut archive = Archive::new(from);
    for entry in archive.entries().map_err(bad)? {
        unpacking.add(&mut entry.map_err(bad)?)?;
    }
    for (parts, times) in unpacking.folders.iter().rev() {
        let folder = root.folder(parts).map_err(io::Error::from);
        let set = folder.and_then(|folder| set_times(&folder, times));
        set.map_err(|error| failed(&text(parts), &error))?;
    }
    Ok(())
}

/// In the words and with the status of Docker, where it has any.
fn failed(what: &str, error: &io::Error) -> ApiError {
    if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        return ApiError {
            status: 403,
            message: format!("container rootfs is marked read-only: {what}"),
        };
    }
    let bad = matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::Other | io::ErrorKind::UnexpectedEof
    );
    let message = format!("{what}: {error}");
    if bad {
        ApiError::bad_request(message)
    } else {
        ApiError::internal(message)
    }
}

/// Of a folder that is only known by its place.
fn set_times(folder: &OwnedFd, times: &Timestamps) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    Ok(utimensat(rustix::fs::CWD, path, times, AtFlags::empty())?)
}

impl Unpacking<'_> {
    fn add(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), ApiError> {
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut parts = self.folder.clone();
        let inside = clean(&mut parts, &entry.path_bytes(), self.folder.len());
        inside.ok_or_else(|| outside(&shown))?;
        // The folder itself stays as it is.
        if parts.len() == self.folder.len() {
            return Ok(());
        }
        let added = self.place(parts).and_then(|place| {
            self.make_room(&place, entry.header())?;
            self.make(&place, entry)
        });
        added.map_err(|error| match error.kind() {
            // What was refused has the place in it.
            io::ErrorKind::InvalidInput => ApiError::bad_request(error.to_string()),
            _ => failed(&shown, &error),
        })
    }

    /// Makes the folders above what is to come, if they are missing.
    fn place(&self, mut parts: Vec<OsString>) -> io::Result<Place> {
        let all = parts.clone();
        let name = parts.pop().unwrap_or_default();
        let parent = match self.root.folder(&parts) {
            Err(Errno::NOENT) => self.folders(&parts)?,
            other => other?,
        };
        Ok(Place {
            parent,
            name,
            parts: all,
        })
    }

    fn folders(&self, parts: &[OsString]) -> io::Result<OwnedFd> {
        let mut folder = self.root.folder(&self.folder)?;
        for length in self.folder.len() + 1..=parts.len() {
            let next = self.root.folder(&parts[..length]);
            folder = if next.as_ref().is_err_and(|error| *error == Errno::NOENT) {
                mkdirat(&folder, &parts[length - 1], FOLDER_MODE)?;
                self.root.folder(&parts[..length])?
            } else {
                next?
            };
        }
        Ok(folder)
    }

    /// Removes what is in the way.
    fn make_room(&self, place: &Place, header: &Header) -> io::Result<()> {
        let there = match statat(&place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            there => there?,
        };
        let is_folder = there.st_mode & TYPE_MASK == 0o040_000;
        let comes_folder = header.entry_type().is_dir();
        if is_folder && comes_folder {
            return Ok(());
        }
        if self.rules.keeps_kinds && is_folder != comes_folder {
            let (old, new) = if is_folder {
                ("directory", "non-directory")
            } else {
                ("non-directory", "directory")
            };
            let at = text(&place.parts);
            let reason = format!("cannot overwrite {old} \"{at}\" with {new} of the archive");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        if is_folder {
            // It follows no link below this.
            let parent = format!("/proc/self/fd/{}", place.parent.as_raw_fd());
            return std::fs::remove_dir_all(std::path::Path::new(&parent).join(&place.name));
        }
        Ok(unlinkat(&place.parent, &place.name, AtFlags::empty())?)
    }

    fn make(&mut self, place: &Place, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        let Place { parent, name, .. } = place;
        let header = entry.header().clone();
        let mode = Mode::from_raw_mode(header.mode()? & PERMISSIONS);
        let seconds = i64::try_from(header.mtime()?).unwrap_or(i64::MAX);
        let kind = header.entry_type();
        match kind {
            EntryType::Directory => match mkdirat(parent, name, mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            },
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let mut file: File = openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?.into();
                io::copy(entry, &mut file)?;
            }
            EntryType::Symlink => symlinkat(link_target(entry)?, parent, name)?,
            // It is another name of what is there, with that one's owner and time.
            EntryType::Link => return self.link(place, &link_target(entry)?),
            EntryType::Fifo => special(place, FileType::Fifo, mode, &header)?,
            EntryType::Char => special(place, FileType::CharacterDevice, mode, &header)?,
            EntryType::Block => special(place, FileType::BlockDevice, mode, &header)?,
            other => {
                let reason = format!("an entry of the unknown type {:?}", other.as_byte() as char);
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        self.own(place, &header)?;
        let times = times(seconds);
        if kind != EntryType::Symlink {
            // After the owner, whose change takes set-user-id away. What was made is no link, and nobody but
            // the container's own root could make one of it.
            chmod(place, mode)?;
        }
        if kind == EntryType::Directory {
            self.folders.push((place.parts.clone(), times));
            return Ok(());
        }
        Ok(utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn own(&self, place: &Place, header: &Header) -> io::Result<()> {
        let (user, group) = match self.rules.owner {
            Some(owner) => owner,
            None => (number(header.uid()?)?, number(header.gid()?)?),
        };
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(chownat(
            &place.parent,
            &place.name,
            Some(user),
            Some(group),
            flags,
        )?)
    }

    fn link(&self, place: &Place, target: &OsStr) -> io::Result<()> {
        let mut parts = self.folder.clone();
        let inside = clean(&mut parts, target.as_bytes(), self.folder.len());
        let name = inside.and_then(|()| parts.pop());
        let name = name.filter(|_| parts.len() >= self.folder.len());
        let name = name.ok_or_else(|| {
            let reason = format!("the link's target {} is outside", target.display());
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })?;
        let folder = self.root.folder(&parts)?;
        Ok(linkat(
            folder,
            name,
            &place.parent,
            &place.name,
            AtFlags::empty(),
        )?)
    }
}

fn outside(name: &str) -> ApiError {
    ApiError::bad_request(format!("the archive: {name} is outside of the folder"))
}

fn link_target(entry: &Entry<'_, impl Read>) -> io::Result<OsString> {
    let target = entry.link_name_bytes();
    let target = target.ok_or_else(|| io::Error::other("a link leads nowhere"))?;
    Ok(OsStr::from_bytes(&target).to_owned())
}

fn special(place: &Place, kind: FileType, mode: Mode, header: &Header) -> io::Result<()> {
    let (major, minor) = (header.device_major()?, header.device_minor()?);
    let device = makedev(major.unwrap_or(0), minor.unwrap_or(0));
    Ok(mknodat(&place.parent, &place.name, kind, mode, device)?)
}

/// By a descriptor of the very thing: changing permissions by name would follow a link that somebody put there.
fn chmod(place: &Place, mode: Mode) -> io::Result<()> {
    let node = super::root::child(place.parent.as_fd(), &place.name)?;
    if super::root::facts(&node)?.stx_mode & 0o170_000 == 0o120_000 {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}", node.as_raw_fd());
    Ok(chmodat(rustix::fs::CWD, path, mode, AtFlags::empty())?)
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn number(number: u64) -> io::Result<u32> {
    let number = u32::try_from(number).ok();
    // The largest means that nothing is changed.
    let number = number.filter(|number| *number != u32::MAX);
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an owner that nobody can be"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use super::*;

    /// Entries of an archive: type, name, target or contents.
    fn archive(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let own = rustix::process::getuid().as_raw();
        let group = rustix::process::getgid().as_raw();
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, text) in entries {
            let mut header = Header::new_gnu();
            let names = header.as_gnu_mut().unwrap();
            names.name[..name.len()].copy_from_slice(name.as_bytes());
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                names.linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            let bytes = if is_link { "" } else { text };
            header.set_entry_type(*kind);
            header.set_uid(own.into());
            header.set_gid(group.into());
            header.set_mode(0o750);
            header.set_mtime(1_000_000);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, bytes.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn put(
        folder: &Path,
        at: &str,
        rules: Rules,
        entries: &[(EntryType, &str, &str)],
    ) -> Result<(), ApiError> {
        let root = Root::of_folder(folder);
        let path = ContainerPath::parse(at).unwrap();
        unpack(&root, &path, &archive(entries)[..], rules)
    }

    const FILE: EntryType = EntryType::Regular;
    const FOLDER: EntryType = EntryType::Directory;

    #[test]
    fn files_have_their_contents_permissions_and_times() {
        let machine = tempfile::tempdir().unwrap();
        let folder = machine.path();
        fs::create_dir(folder.join("srv")).unwrap();
        let entries = [
            (FOLDER, "d/", ""),
            (FILE, "d/a", "text"),
            (EntryType::Link, "d/b", "d/a"),
            (EntryType::Symlink, "d/c", "/etc"),
            (FILE, "deep/er/file", "x"),
        ];
        put(folder, "/srv", Rules::default(), &entries).unwrap();
        let facts = |path: &str| fs::symlink_metadata(folder.join("srv").join(path)).unwrap();
        assert_eq!(fs::read_to_string(folder.join("srv/d/b")).unwrap(), "text");
        assert_eq!(facts("d/a").ino(), facts("d/b").ino());
        assert_eq!(facts("d/a").permissions().mode() & 0o7777, 0o750);
        for path in ["d", "d/a", "d/c"] {
            assert_eq!(facts(path).mtime(), 1_000_000, "{path}");
        }
        assert_eq!(
            fs::read_link(folder.join("srv/d/c")).unwrap(),
            Path::new("/etc")
        );
        assert_eq!(facts("deep/er").permissions().mode() & 0o7777, 0o755);
        // Again, over what is there.
        put(folder, "/srv", Rules::default(), &[(FILE, "d/a", "new")]).unwrap();
        assert_eq!(fs::read_to_string(folder.join("srv/d/a")).unwrap(), "new");
        assert_eq!(fs::read_to_string(folder.join("srv/d/b")).unwrap(), "text");
    }

    #[test]
    fn nothing_leads_out_of_the_container() {
        let machine = tempfile::tempdir().unwrap();
        let root = machine.path().join("root");
        fs::create_dir_all(root.join("srv")).unwrap();
        fs::write(machine.path().join("victim"), "well").unwrap();
        symlink(machine.path(), root.join("srv/absolute")).unwrap();
        symlink("../../..", root.join("srv/relative")).unwrap();
        symlink(machine.path().join("victim"), root.join("srv/file")).unwrap();
        let rules = Rules::default();
        // A file takes the place of a link, and is not written through it.
        put(&root, "/srv", rules, &[(FILE, "file", "own")]).unwrap();
        assert_eq!(fs::read_to_string(root.join("srv/file")).unwrap(), "own");
        put(&root, "/srv", rules, &[(FILE, "relative/victim", "own")]).unwrap();
        assert_eq!(fs::read_to_string(root.join("victim")).unwrap(), "own");
        put(&root, "/srv", rules, &[(FILE, "absolute/victim", "x")]).unwrap_err();
        // A link of the archive itself.
        let entries = [
            (EntryType::Symlink, "l", "/../../.."),
            (FILE, "l/victim2", "own"),
        ];
        put(&root, "/srv", rules, &entries).unwrap();
        assert!(root.join("victim2").exists() && !machine.path().join("victim2").exists());
        for entry in [
            (FILE, "../../victim", "x"),
            (FILE, "a/../../../victim", "x"),
            (EntryType::Link, "hard", "../../victim"),
        ] {
            let error = put(&root, "/srv", rules, &[entry]).unwrap_err();
            assert!(error.message.contains("outside"), "{error}");
        }
        assert_eq!(
            fs::read_to_string(machine.path().join("victim")).unwrap(),
            "well"
        );
    }

    #[test]
    fn kinds_are_kept_if_that_is_wanted() {
        let machine = tempfile::tempdir().unwrap();
        let folder = machine.path();
        fs::create_dir_all(folder.join("d/e")).unwrap();
        fs::write(folder.join("f"), "").unwrap();
        let keeps = Rules {
            keeps_kinds: true,
            owner: None,
        };
        let error = put(folder, "/", keeps, &[(FILE, "d", "")]).unwrap_err();
        assert_eq!(error.status, 400);
        let expected = "cannot overwrite directory \"/d\" with non-directory of the archive";
        assert_eq!(error.message, expected);
        assert!(put(folder, "/", keeps, &[(FOLDER, "f", "")]).is_err());
        put(folder, "/", keeps, &[(FOLDER, "d", "")]).unwrap();
        assert!(folder.join("d/e").is_dir());
        put(
            folder,
            "/",
            Rules::default(),
            &[(FILE, "d", "x"), (FOLDER, "f", "")],
        )
        .unwrap();
        assert!(folder.join("d").is_file() && folder.join("f").is_dir());
        let error = put(folder, "/d", keeps, &[]).unwrap_err();
        assert_eq!(error.message, "extraction point is not a directory");
        assert_eq!(put(folder, "/none", keeps, &[]).unwrap_err().status, 404);
        let error = unpack(
            &Root::of_folder(folder),
            &ContainerPath::parse("/").unwrap(),
            &b"no archive at all"[..],
            keeps,
        );
        assert_eq!(error.unwrap_err().status, 400);
    }
}

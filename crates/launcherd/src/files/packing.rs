//! Files of a container into a tar archive, in the order of their names.
//!
//! Links are packed as links. Sockets are left out: they mean nothing elsewhere.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Dir, Statx};
use rustix::io::Errno;
use tar::{EntryType, Header};

use super::root::{child, facts, read_link, reopen};

/// Tar counts in these.
const BLOCK: u64 = 512;
/// Two of them end an archive.
const END: [u8; 1024] = [0; 1024];
/// Where longer names stand that a header has no room for.
const LONG_NAME: &[u8] = b"././@LongLink";
const TYPE_MASK: u16 = 0o170_000;

/// How far is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Also into volumes and whatever else is mounted.
    All,
    /// The container's own files: of what is mounted in it there is the empty folder.
    OwnFiles,
}

/// An archive that is being written.
struct Packing<W> {
    to: W,
    /// By device and inode, the name under which a file with several of them is in the archive.
    packed: HashMap<(u32, u32, u64), Vec<u8>>,
    /// The one mount, if others are left out.
    mount: Option<u64>,
}

/// A folder whose entries are next.
struct Open {
    folder: OwnedFd,
    /// The last one is next.
    names: Vec<OsString>,
    prefix: Vec<u8>,
}

/// Packs a file, or a folder with all that is in it, under a name, and gives back where it went.
///
/// The root's own name is `/`, for which Docker's client looks; of an empty one the contents are packed alone.
pub(super) fn pack<W: Write>(to: W, node: OwnedFd, name: &OsStr, extent: Extent) -> io::Result<W> {
    let mount = facts(&node)?.stx_mnt_id;
    let mut packing = Packing {
        to,
        packed: HashMap::new(),
        mount: (extent == Extent::OwnFiles).then_some(mount),
    };
    let mut open: Vec<Open> = packing
        .add(node, name.as_bytes().to_vec())?
        .into_iter()
        .collect();
    // No recursion: a container's folders may be deeper than the stack.
    while let Some(last) = open.last_mut() {
        let Some(name) = last.names.pop() else {
            open.pop();
            continue;
        };
        let path = [&last.prefix, name.as_bytes()].concat();
        match child(&last.folder, &name) {
            Ok(node) => open.extend(packing.add(node, path)?),
            // It was removed meanwhile.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    packing.to.write_all(&END)?;
    Ok(packing.to)
}

impl<W: Write> Packing<W> {
    /// Packs what has a name, and gives back a folder to go on with.
    fn add(&mut self, node: OwnedFd, path: Vec<u8>) -> io::Result<Option<Open>> {
        let facts = facts(&node)?;
        let mut header = header(&facts);
        match facts.stx_mode & TYPE_MASK {
            0o040_000 => return self.folder(node, &facts, header, path),
            0o100_000 => self.file(&node, &facts, header, &path)?,
            0o120_000 => {
                header.set_entry_type(EntryType::Symlink);
                let target = read_link(&node)?;
                self.head(header, &path, target.as_bytes())?;
            }
            0o010_000 => {
                header.set_entry_type(EntryType::Fifo);
                self.head(header, &path, b"")?;
            }
            kind @ (0o020_000 | 0o060_000) => {
                header.set_entry_type(if kind == 0o020_000 {
                    EntryType::Char
                } else {
                    EntryType::Block
                });
                header.set_device_major(facts.stx_rdev_major)?;
                header.set_device_minor(facts.stx_rdev_minor)?;
                self.head(header, &path, b"")?;
            }
            _ => {}
        }
        Ok(None)
    }

    fn folder(
        &mut self,
        node: OwnedFd,
        facts: &Statx,
        mut header: Header,
        mut prefix: Vec<u8>,
    ) -> io::Result<Option<Open>> {
        if !prefix.is_empty() {
            if !prefix.ends_with(b"/") {
                prefix.push(b'/');
            }
            header.set_entry_type(EntryType::Directory);
            self.head(header, &prefix, b"")?;
        }
        if self.mount.is_some_and(|mount| mount != facts.stx_mnt_id) {
            return Ok(None);
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(reopen(&node)?)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(Open {
            folder: node,
            names,
            prefix,
        }))
    }

    fn file(
        &mut self,
        node: &OwnedFd,
        facts: &Statx,
        mut header: Header,
        path: &[u8],
    ) -> io::Result<()> {
        let inode = (facts.stx_dev_major, facts.stx_dev_minor, facts.stx_ino);
        if facts.stx_nlink > 1 {
            if let Some(first) = self.packed.get(&inode).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.head(header, path, &first);
            }
            self.packed.insert(inode, path.to_vec());
        }
        let source = reopen(node)?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(facts.stx_size);
        self.head(header, path, b"")?;
        // It may grow or shrink meanwhile, and the header is written.
        let copied = io::copy(&mut source.take(facts.stx_size), &mut self.to)?;
        let missing = facts.stx_size - copied;
        let filling = (BLOCK - facts.stx_size % BLOCK) % BLOCK;
        io::copy(&mut io::repeat(0).take(missing + filling), &mut self.to).map(drop)
    }

    /// A header with names of any length and form, which the crate would change.
    fn head(&mut self, mut header: Header, path: &[u8], target: &[u8]) -> io::Result<()> {
        for (text, kind) in [
            (path, EntryType::GNULongName),
            (target, EntryType::GNULongLink),
        ] {
            let Some(names) = header.as_gnu_mut() else {
                continue;
            };
            let room = if kind == EntryType::GNULongName {
                &mut names.name
            } else {
                &mut names.linkname
            };
            let length = text.len().min(room.len());
            room[..length].copy_from_slice(&text[..length]);
            if text.len() > room.len() {
                self.long(text, kind)?;
            }
        }
        header.set_cksum();
        self.to.write_all(header.as_bytes())
    }

    fn long(&mut self, text: &[u8], kind: EntryType) -> io::Result<()> {
        let mut header = Header::new_gnu();
        let size = text.len() as u64 + 1;
        if let Some(names) = header.as_gnu_mut() {
            names.name[..LONG_NAME.len()].copy_from_slice(LONG_NAME);
        }
        header.set_size(size);
        header.set_entry_type(kind);
        header.set_cksum();
        self.to.write_all(header.as_bytes())?;
        self.to.write_all(text)?;
        let filling = 1 + (BLOCK - size % BLOCK) % BLOCK;
        io::copy(&mut io::repeat(0).take(filling), &mut self.to).map(drop)
    }
}

/// Owner, permissions and time; those before 1970 cannot be written.
fn header(facts: &Statx) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(u32::from(facts.stx_mode & !TYPE_MASK));
    header.set_uid(facts.stx_uid.into());
    header.set_gid(facts.stx_gid.into());
    header.set_mtime(u64::try_from(facts.stx_mtime.tv_sec).unwrap_or(0));
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::container_path::ContainerPath;
    use super::super::root::Root;
    use super::*;

    fn packed(root: &Root, path: &str) -> Vec<u8> {
        let path = ContainerPath::parse(path).unwrap();
        let node = root.find(&path).unwrap();
        pack(Vec::new(), node, path.base(), Extent::All).unwrap()
    }

    /// Type, name, target and contents of each entry.
    fn read(archive: &[u8]) -> Vec<(u8, String, String, String)> {
        let mut archive = tar::Archive::new(archive);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let kind = entry.header().entry_type().as_byte();
            let name = text(&entry.path_bytes());
            let target = entry
                .link_name_bytes()
                .map_or(String::new(), |name| text(&name));
            let mut contents = String::new();
            entry.read_to_string(&mut contents).unwrap();
            (kind, name, target, contents)
        });
        entries.collect()
    }

    fn entry(kind: u8, name: &str, target: &str, contents: &str) -> (u8, String, String, String) {
        let own = ToOwned::to_owned;
        (kind, own(name), own(target), own(contents))
    }

    #[test]
    fn names_are_those_that_dockers_client_looks_for() {
        let folder = tempfile::tempdir().unwrap();
        let long = "n".repeat(120);
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("d/a"), "text").unwrap();
        fs::hard_link(folder.path().join("d/a"), folder.path().join("d/b")).unwrap();
        symlink("/nowhere", folder.path().join("d/c")).unwrap();
        fs::write(folder.path().join("d").join(&long), vec![b'x'; 512]).unwrap();
        let root = Root::of_folder(folder.path());
        assert_eq!(
            read(&packed(&root, "/d/c")),
            [entry(b'2', "c", "/nowhere", "")]
        );
        assert_eq!(read(&packed(&root, "/d/a")), [entry(b'0', "a", "", "text")]);
        let expected = [
            entry(b'5', "d/", "", ""),
            entry(b'0', "d/a", "", "text"),
            entry(b'1', "d/b", "d/a", ""),
            entry(b'2', "d/c", "/nowhere", ""),
            entry(b'0', &format!("d/{long}"), "", &"x".repeat(512)),
        ];
        assert_eq!(read(&packed(&root, "/d")), expected);
        let names = |path: &str| -> Vec<String> {
            let entries = read(&packed(&root, path)).into_iter();
            entries.map(|entry| entry.1).take(3).collect()
        };
        assert_eq!(names("/d/."), ["./", "./a", "./b"]);
        assert_eq!(names("/"), ["/", "/d/", "/d/a"]);
    }

    #[test]
    fn deep_folders_do_not_end_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let mut at = folder.path().to_path_buf();
        for _ in 0..1500 {
            at.push("d");
        }
        fs::create_dir_all(&at).unwrap();
        let root = Root::of_folder(folder.path());
        assert_eq!(read(&packed(&root, "/d")).len(), 1500);
    }
}

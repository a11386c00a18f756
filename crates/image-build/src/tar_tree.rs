//! Trees from and to tar archives.
//!
//! Writing is canonical: sorted paths, one time stamp, numeric owners, no user names, long names and
//! extended attributes as PAX records. Equal trees give equal bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{BuildError, Result, open};
use crate::tree::{Content, Node, NodeKind, Tree};

/// PAX key of an extended attribute, as star and GNU tar write it.
const PAX_ATTRIBUTE: &str = "SCHILY.xattr.";

/// Something found in an archive, before it is known which tree it goes to.
#[derive(Debug)]
pub struct Entry {
    /// Path relative to the root.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Extended attributes.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

/// What an archive entry is.
#[derive(Debug)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file with its contents.
    File(Vec<u8>),
    /// A symbolic link.
    Symlink(String),
    /// The same file as another entry's.
    HardLink(String),
}

/// Reads a tar stream entry by entry, contents in memory. `wanted` is asked before contents are read.
pub fn read_entries(
    source: &mut dyn Read,
    name: &str,
    wanted: impl Fn(&str) -> bool,
    mut take: impl FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let refuse = |reason: String| BuildError::Package {
        package: name.to_owned(),
        reason,
    };
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries().map_err(|e| refuse(e.to_string()))? {
        let mut entry = entry.map_err(|e| refuse(e.to_string()))?;
        let Some(path) = relative_path(&entry.path_bytes()) else {
            continue;
        };
        if !wanted(&path) {
            continue;
        }
        let entry = read_entry(&mut entry, path).map_err(refuse)?;
        take(entry)?;
    }
    Ok(())
}

fn read_entry<R: Read>(entry: &mut tar::Entry<'_, R>, path: String) -> Result<Entry, String> {
    let link = entry
        .link_name_bytes()
        .map(|name| String::from_utf8_lossy(&name).into_owned());
    let attributes = read_attributes(entry)?;
    let header = entry.header();
    let (mode, kind) = (
        header.mode().map_err(|e| e.to_string())?,
        header.entry_type(),
    );
    let (uid, gid) = (
        header.uid().map_err(|e| e.to_string())?,
        header.gid().map_err(|e| e.to_string())?,
    );
    let kind = match (kind, link) {
        (tar::EntryType::Directory, _) => EntryKind::Directory,
        (tar::EntryType::Regular, _) => {
            let mut contents = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
            entry
                .read_to_end(&mut contents)
                .map_err(|e| e.to_string())?;
            EntryKind::File(contents)
        }
        (tar::EntryType::Symlink, Some(target)) => EntryKind::Symlink(target),
        (tar::EntryType::Link, Some(target)) => {
            let target = relative_path(target.as_bytes()).ok_or("a hard link to the root")?;
            EntryKind::HardLink(target)
        }
        (other, _) => {
            return Err(format!(
                "{path}: an entry of type {other:?} cannot be shipped"
            ));
        }
    };
    Ok(Entry {
        path,
        kind,
        mode: mode & 0o7777,
        uid,
        gid,
        attributes,
    })
}

fn read_attributes<R: Read>(
    entry: &mut tar::Entry<'_, R>,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut attributes = BTreeMap::new();
    if let Some(extensions) = entry.pax_extensions().map_err(|e| e.to_string())? {
        for extension in extensions {
            let extension = extension.map_err(|e| e.to_string())?;
            let key = extension.key().map_err(|e| e.to_string())?;
            if let Some(name) = key.strip_prefix(PAX_ATTRIBUTE) {
                attributes.insert(name.to_owned(), extension.value_bytes().to_vec());
            }
        }
    }
    Ok(attributes)
}

/// `./usr/bin/` as `usr/bin`; none for the root itself and for paths that leave it.
fn relative_path(path: &[u8]) -> Option<String> {
    let path = String::from_utf8_lossy(path);
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.is_empty() || parts.contains(&"..") {
        None
    } else {
        Some(parts.join("/"))
    }
}

/// Reads back an archive that [`write`] wrote; contents stay in the file.
pub fn open_tree(path: &Path) -> Result<Tree> {
    let file = Arc::new(open(path)?);
    let shared_path = Arc::new(path.to_path_buf());
    let unreadable = |e| BuildError::io("read", path, e);
    let mut archive = tar::Archive::new(&*file);
    let mut tree = Tree::default();
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let Some(name) = relative_path(&entry.path_bytes()) else {
            continue;
        };
        let node =
            stored_node(&mut entry, &file, &shared_path).map_err(|reason| BuildError::Package {
                package: path.display().to_string(),
                reason,
            })?;
        tree.insert(&name, node);
    }
    Ok(tree)
}

fn stored_node<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    file: &Arc<File>,
    path: &Arc<PathBuf>,
) -> Result<Node, String> {
    let attributes = read_attributes(entry)?;
    let header = entry.header();
    let kind = match header.entry_type() {
        tar::EntryType::Directory => NodeKind::Directory,
        tar::EntryType::Symlink => {
            let target = entry.link_name_bytes().ok_or("a link without a target")?;
            NodeKind::Symlink(String::from_utf8_lossy(&target).into_owned())
        }
        _ => NodeKind::File(Content::Range {
            file: Arc::clone(file),
            path: Arc::clone(path),
            offset: entry.raw_file_position(),
            length: entry.size(),
        }),
    };
    let header = entry.header();
    Ok(Node {
        kind,
        mode: header.mode().map_err(|e| e.to_string())? & 0o7777,
        uid: header.uid().map_err(|e| e.to_string())?,
        gid: header.gid().map_err(|e| e.to_string())?,
        attributes,
    })
}

/// Writes a tree in canonical form; `timestamp_seconds` is every entry's modification time.
pub fn write(
    tree: &Tree,
    target: impl Write,
    timestamp_seconds: u64,
) -> Result<(), std::io::Error> {
    let mut builder = tar::Builder::new(target);
    // Without an entry of its own the root would be writable for everybody.
    append(
        &mut builder,
        ".",
        &Node::directory(0o755),
        timestamp_seconds,
    )?;
    for (path, node) in tree.iter() {
        let attributes: Vec<(String, &[u8])> = node
            .attributes
            .iter()
            .map(|(name, value)| (format!("{PAX_ATTRIBUTE}{name}"), value.as_slice()))
            .collect();
        builder.append_pax_extensions(
            attributes
                .iter()
                .map(|(name, value)| (name.as_str(), *value)),
        )?;
        append(&mut builder, path, node, timestamp_seconds)?;
    }
    builder.into_inner()?.flush()
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    path: &str,
    node: &Node,
    timestamp_seconds: u64,
) -> Result<(), std::io::Error> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(node.mode);
    header.set_uid(node.uid);
    header.set_gid(node.gid);
    header.set_mtime(timestamp_seconds);
    match &node.kind {
        NodeKind::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            builder.append_data(&mut header, format!("./{path}/"), std::io::empty())
        }
        NodeKind::File(content) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.len());
            builder.append_data(&mut header, format!("./{path}"), content.reader())
        }
        NodeKind::Symlink(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, format!("./{path}"), target)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Tree {
        let mut tree = Tree::default();
        tree.insert("usr/bin/ping", Node::file(0o4755, &b"program"[..]));
        tree.insert("bin", Node::symlink("usr/bin"));
        let long = format!("usr/share/{}/{}", "d".repeat(120), "f".repeat(120));
        tree.insert(&long, Node::file(0o644, &b"long"[..]));
        let ping = tree.get_mut("usr/bin/ping").expect("just inserted");
        ping.gid = 42;
        ping.attributes
            .insert("security.capability".to_owned(), vec![1, 0, 0, 2, 0xff]);
        tree
    }

    #[test]
    fn a_tree_survives_its_archive_and_equal_trees_are_equal_bytes() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("tree.tar");
        let mut bytes = Vec::new();
        write(&sample(), &mut bytes, 7).expect("memory");
        std::fs::write(&path, &bytes).expect("written");

        let tree = open_tree(&path).expect("readable");
        let ping = tree.get("usr/bin/ping").expect("there");
        assert_eq!((ping.mode, ping.gid), (0o4755, 42));
        assert_eq!(ping.attributes["security.capability"], [1, 0, 0, 2, 0xff]);
        assert_eq!(
            tree.file("usr/bin/ping")
                .expect("a file")
                .to_vec()
                .expect("read"),
            b"program"
        );
        assert_eq!(tree.len(), sample().len());

        let mut archive = tar::Archive::new(&bytes[..]);
        let root = archive
            .entries()
            .expect("readable")
            .next()
            .expect("an entry")
            .expect("valid");
        assert_eq!(root.path().expect("a path"), Path::new("./."));
        assert_eq!(root.header().mode().expect("a mode"), 0o755);

        let mut again = Vec::new();
        write(&tree, &mut again, 7).expect("memory");
        assert_eq!(bytes, again);
    }

    #[test]
    fn paths_that_leave_the_root_are_passed_over() {
        assert_eq!(relative_path(b"./usr//bin/"), Some("usr/bin".to_owned()));
        assert_eq!(relative_path(b"./"), None);
        assert_eq!(relative_path(b"../etc/passwd"), None);
    }
}

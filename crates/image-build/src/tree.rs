//! A file tree as a value: what the root file system holds, with owners, modes and attributes.
//!
//! Contents are either in memory or a range of a file on disk, so that a tree of hundreds of megabytes
//! costs little memory. Nothing here needs root: owners are numbers in a tar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{BuildError, Result};

/// A file tree, by path relative to the root without a leading slash, sorted.
#[derive(Debug, Default, Clone)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// One file, directory or link.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Extended attributes, by full name.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

/// What a node is. Devices and sockets have no place in an image.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link to that target.
    Symlink(String),
}

/// A regular file's contents.
#[derive(Debug, Clone)]
pub enum Content {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// A range of a file.
    Range {
        /// The open file.
        file: Arc<File>,
        /// Its path, for messages.
        path: Arc<PathBuf>,
        /// Where the contents begin, in bytes.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
}

impl Content {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Range { length, .. } => *length,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A reader over the contents.
    pub fn reader(&self) -> Box<dyn Read + '_> {
        match self {
            Self::Bytes(bytes) => Box::new(&bytes[..]),
            Self::Range {
                file,
                offset,
                length,
                ..
            } => Box::new(RangeReader {
                file,
                offset: *offset,
                remaining: *length,
            }),
        }
    }

    /// All of it in memory.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        self.reader()
            .read_to_end(&mut bytes)
            .map_err(|e| match self {
                Self::Range { path, .. } => BuildError::io("read", path, e),
                Self::Bytes(_) => unreachable!("memory can always be read"),
            })?;
        Ok(bytes)
    }
}

struct RangeReader<'a> {
    file: &'a File,
    offset: u64,
    remaining: u64,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        self.remaining -= count as u64;
        Ok(count)
    }
}

impl Node {
    /// A directory of root's.
    pub fn directory(mode: u32) -> Self {
        Self::new(NodeKind::Directory, mode)
    }

    /// A file of root's with contents in memory.
    pub fn file(mode: u32, contents: impl Into<Arc<[u8]>>) -> Self {
        Self::new(NodeKind::File(Content::Bytes(contents.into())), mode)
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self::new(NodeKind::Symlink(target.into()), 0o777)
    }

    /// A node of root's without attributes.
    pub fn new(kind: NodeKind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            attributes: BTreeMap::new(),
        }
    }
}

impl Tree {
    /// The node at exactly that path; links are not followed.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The node at that path, to be changed.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        self.nodes.get_mut(path)
    }

    /// Every path and node, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Bytes in regular files.
    pub fn content_bytes(&self) -> u64 {
        self.nodes
            .values()
            .map(|node| match &node.kind {
                NodeKind::File(content) => content.len(),
                NodeKind::Directory | NodeKind::Symlink(_) => 0,
            })
            .sum()
    }

    /// Contents of the file at that path, following no links.
    pub fn file(&self, path: &str) -> Option<&Content> {
        match &self.get(path)?.kind {
            NodeKind::File(content) => Some(content),
            NodeKind::Directory | NodeKind::Symlink(_) => None,
        }
    }

    /// Puts a node in place, with `bin`, `lib` and the like resolved to where they link, and missing
    /// parents made. A directory that is there already only takes the new mode and owner.
    pub fn insert(&mut self, path: &str, node: Node) {
        let path = self.resolve_parents(path);
        self.make_parents(&path);
        self.nodes.insert(path, node);
    }

    /// Takes a node out; what is below a directory stays.
    pub fn remove(&mut self, path: &str) -> Option<Node> {
        self.nodes.remove(path)
    }

    /// Keeps the nodes that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Node) -> bool) {
        self.nodes.retain(|path, node| keep(path, node));
    }

    /// Puts every node of `other` over this tree.
    pub fn overlay(&mut self, other: &Self) {
        for (path, node) in other.iter() {
            self.insert(path, node.clone());
        }
    }

    /// Paths below a directory, sorted, without the directory itself.
    pub fn below(&self, directory: &str) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = format!("{directory}/");
        self.nodes
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, node)| (path.as_str(), node))
    }

    /// `bin/sh` becomes `usr/bin/sh` where `bin` is a link to `usr/bin`: packages may use either name.
    fn resolve_parents(&self, path: &str) -> String {
        let Some((first, rest)) = path.split_once('/') else {
            return path.to_owned();
        };
        match self.nodes.get(first).map(|node| &node.kind) {
            Some(NodeKind::Symlink(target)) => format!("{}/{rest}", target.trim_start_matches('/')),
            _ => path.to_owned(),
        }
    }

    fn make_parents(&mut self, path: &str) {
        let mut end = 0;
        while let Some(at) = path[end..].find('/') {
            let parent = &path[..end + at];
            if !self.nodes.contains_key(parent) {
                self.nodes.insert(parent.to_owned(), Node::directory(0o755));
            }
            end += at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_made_and_links_of_the_root_followed() {
        let mut tree = Tree::default();
        tree.insert("bin", Node::symlink("usr/bin"));
        tree.insert("bin/sh", Node::symlink("dash"));
        assert!(tree.get("usr/bin/sh").is_some());
        assert!(matches!(
            tree.get("usr/bin").map(|n| &n.kind),
            Some(NodeKind::Directory)
        ));
        assert!(tree.get("bin/sh").is_none());
    }

    #[test]
    fn below_stops_at_the_directory() {
        let mut tree = Tree::default();
        for path in ["a/b", "a/c/d", "a.b", "ab"] {
            tree.insert(path, Node::file(0o644, &b"x"[..]));
        }
        let paths: Vec<&str> = tree.below("a").map(|(path, _)| path).collect();
        assert_eq!(paths, ["a/b", "a/c", "a/c/d"]);
        assert_eq!(tree.content_bytes(), 4);
    }
}

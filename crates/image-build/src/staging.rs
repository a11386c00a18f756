//! A part of a tree on disk, for tools that only know directories, and what they made of it.
//!
//! Owners are lost on the way out, so nothing that comes back keeps any: it is root's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::{BuildError, Result, create, make_directory, read_bytes};
use crate::tree::{Node, NodeKind, Tree};

/// A temporary directory with a part of a tree.
#[derive(Debug)]
pub struct Staging {
    directory: tempfile::TempDir,
}

impl Staging {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("keelson-staging-")
            .tempdir()
            .map_err(|e| BuildError::io("create", &std::env::temp_dir(), e))?;
        Ok(Self { directory })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the nodes whose path `wanted` accepts.
    pub fn export(&self, tree: &Tree, wanted: impl Fn(&str) -> bool) -> Result<()> {
        for (path, node) in tree.iter().filter(|(path, _)| wanted(path)) {
            let target = self.path().join(path);
            if let Some(parent) = target.parent() {
                make_directory(parent)?;
            }
            match &node.kind {
                NodeKind::Directory => make_directory(&target)?,
                NodeKind::Symlink(to) => {
                    symlink(to, &target).map_err(|e| BuildError::io("create", &target, e))?;
                }
                NodeKind::File(content) => {
                    let mut file = create(&target)?;
                    std::io::copy(&mut content.reader(), &mut file)
                        .map_err(|e| BuildError::io("write", &target, e))?;
                }
            }
        }
        Ok(())
    }

    /// A file that a tool made.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        read_bytes(&self.path().join(path))
    }

    /// Everything below a directory, as a tree of root's; modes are kept.
    pub fn import(&self, directory: &str) -> Result<Tree> {
        import_directory(self.path(), &self.path().join(directory), |mode| {
            mode & 0o7777
        })
    }
}

/// A directory of the checkout as a tree: files are 0644, or 0755 if they can be executed, as git keeps it.
pub fn import_checkout(directory: &Path) -> Result<Tree> {
    import_directory(directory, directory, |mode| {
        if mode & 0o100 == 0 { 0o644 } else { 0o755 }
    })
}

/// Every file below a directory, sorted, links not followed; none if it does not exist.
pub fn list_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    if directory.is_dir() {
        collect(directory, &mut paths)?;
    }
    paths.sort();
    Ok(paths)
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e| BuildError::io("list", directory, e);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            collect(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(())
}

fn import_directory(root: &Path, directory: &Path, file_mode: fn(u32) -> u32) -> Result<Tree> {
    let mut tree = Tree::default();
    for path in list_files(directory)? {
        let metadata = fs::symlink_metadata(&path).map_err(|e| BuildError::io("read", &path, e))?;
        let node = if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(|e| BuildError::io("read", &path, e))?;
            Node::symlink(target.to_string_lossy())
        } else {
            Node::file(file_mode(metadata.permissions().mode()), read_bytes(&path)?)
        };
        let relative = path.strip_prefix(root).expect("it was found below");
        tree.insert(&relative.to_string_lossy(), node);
    }
    Ok(tree)
}

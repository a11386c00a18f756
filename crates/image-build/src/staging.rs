//! A part of a tree on disk, for tools that only know directories, and what they made of it.
//!
//! Owners are lost on the way out and modes follow the builder's umask on the way in, so nothing that comes
//! back keeps either: it is root's, and its modes are as git keeps them.

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
    /// An empty one in a step's own directory: what a killed build leaves there, the next one removes.
    pub fn new(step_directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(".staging-")
            .tempdir_in(step_directory)
            .map_err(|e| BuildError::io("create a directory in", step_directory, e))?;
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

    /// A file that a tool made, even one that its owner may not read, as `etc/shadow`.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.path().join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(|e| BuildError::io("make readable", &path, e))?;
        read_bytes(&path)
    }

    /// Everything below a directory, as a tree of root's.
    pub fn import(&self, directory: &str) -> Result<Tree> {
        import_directory(self.path(), &self.path().join(directory))
    }
}

/// A directory of the checkout as a tree of root's.
pub fn import_checkout(directory: &Path) -> Result<Tree> {
    import_directory(directory, directory)
}

/// 0755 for what its owner can execute, 0644 for the rest: as git keeps it, whatever the umask.
fn git_mode(mode: u32) -> u32 {
    if mode & 0o100 == 0 { 0o644 } else { 0o755 }
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

fn import_directory(root: &Path, directory: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    for path in list_files(directory)? {
        let metadata = fs::symlink_metadata(&path).map_err(|e| BuildError::io("read", &path, e))?;
        let node = if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(|e| BuildError::io("read", &path, e))?;
            Node::symlink(target.to_string_lossy())
        } else {
            Node::file(git_mode(metadata.permissions().mode()), read_bytes(&path)?)
        };
        let relative = path.strip_prefix(root).expect("it was found below");
        tree.insert(&relative.to_string_lossy(), node);
    }
    Ok(tree)
}

//! Step `unpack`: the packages of a product merged into one tree, without what the recipe leaves out.
//!
//! No maintainer script runs. What scripts would have derived from packages alone (module indexes, the
//! linker's cache, the hardware database, the certificate bundle) is made by [`crate::derive`].

use std::fmt::Write as _;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::deb;
use crate::derive;
use crate::error::{BuildError, Result, create};
use crate::fetch::PackageCache;
use crate::lock::LockedPackage;
use crate::pattern::matches_any;
use crate::recipe::{Files, Recipe};
use crate::tar_tree::{self, Entry, EntryKind, read_entries};
use crate::tools::Tools;
use crate::tree::{Node, NodeKind, Tree};

/// Name of the archive this step leaves in its directory.
pub const PACKAGES_TAR: &str = "packages.tar";
/// Name of the kernel this step leaves in its directory.
pub const KERNEL: &str = "vmlinuz";
/// Directories that packages ship below `/var`, as lines of tmpfiles.d.
pub const VAR_TMPFILES: &str = "usr/lib/tmpfiles.d/keelson-var.conf";

/// Merges the packages into `directory`.
pub fn unpack(
    recipe: &Recipe,
    packages: &[&LockedPackage],
    cache: &PackageCache,
    tools: &Tools,
    directory: &Path,
) -> Result<String> {
    let mut merge = Merge::default();
    for (package, entries) in packages.iter().zip(read_all(recipe, packages, cache)?) {
        for entry in entries {
            merge.take(&package.name, entry)?;
        }
    }
    let Merge {
        mut tree, kernel, ..
    } = merge;
    let kernel =
        kernel.ok_or_else(|| BuildError::Root("no package brought a kernel".to_owned()))?;
    crate::error::write_bytes(&directory.join(KERNEL), &kernel)?;
    derive::add_all(&mut tree, tools, directory)?;
    let path = directory.join(PACKAGES_TAR);
    tar_tree::write(&tree, BufWriter::with_capacity(1 << 20, create(&path)?), 0)
        .map_err(|e| BuildError::io("write", &path, e))?;
    Ok(format!("{} packages, {} files", packages.len(), tree.len()))
}

/// Decompresses every package, two at a time on two processors, in the order given.
fn read_all(
    recipe: &Recipe,
    packages: &[&LockedPackage],
    cache: &PackageCache,
) -> Result<Vec<Vec<Entry>>> {
    let results: Vec<Mutex<Option<Result<Vec<Entry>>>>> =
        packages.iter().map(|_| Mutex::new(None)).collect();
    // Largest first, so that the last one running is a small one.
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(packages[index].size));
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = read_package(&recipe.files, packages[index], cache);
                    *results[index].lock().expect("no worker panicked") = Some(result);
                }
            });
        }
    });
    let taken = |slot: Mutex<Option<_>>| {
        slot.into_inner()
            .expect("unpoisoned")
            .expect("every slot is filled")
    };
    results.into_iter().map(taken).collect()
}

fn read_package(
    files: &Files,
    package: &LockedPackage,
    cache: &PackageCache,
) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let wanted = |path: &str| is_kernel(path) || path.starts_with("var/") || is_taken(files, path);
    deb::read_data(&cache.path(package), |data| {
        read_entries(data, &package.name, wanted, |entry| {
            entries.push(decompressed(&package.name, entry)?);
            Ok(())
        })
    })?;
    Ok(entries)
}

/// Whether the recipe takes a path.
fn is_taken(files: &Files, path: &str) -> bool {
    !matches_any(&files.remove, path) || matches_any(&files.keep, path)
}

fn is_kernel(path: &str) -> bool {
    path.starts_with("boot/vmlinuz-")
}

/// Kernel modules are stored decompressed: the download compresses them again, and far better, and
/// updates reuse their unchanged blocks.
fn decompressed(package: &str, mut entry: Entry) -> Result<Entry> {
    if let (Some(path), EntryKind::File(contents)) =
        (entry.path.strip_suffix(".ko.xz"), &entry.kind)
    {
        let contents = deb::decompress_xz(contents).map_err(|e| BuildError::Package {
            package: package.to_owned(),
            reason: format!("{}: {e}", entry.path),
        })?;
        entry.path = format!("{path}.ko");
        entry.kind = EntryKind::File(contents);
    }
    Ok(entry)
}

/// The tree as it grows, package by package.
#[derive(Default)]
struct Merge {
    tree: Tree,
    kernel: Option<Vec<u8>>,
    var: String,
}

impl Merge {
    fn take(&mut self, package: &str, entry: Entry) -> Result<()> {
        match entry.kind {
            EntryKind::File(contents) if is_kernel(&entry.path) => {
                self.kernel = Some(contents);
                return Ok(());
            }
            EntryKind::Directory if entry.path.starts_with("var/") => {
                self.note_var_directory(&entry);
                return Ok(());
            }
            _ if entry.path.starts_with("var/") => return Ok(()),
            _ => {}
        }
        let kind = match entry.kind {
            EntryKind::Directory => NodeKind::Directory,
            EntryKind::File(contents) => {
                NodeKind::File(crate::tree::Content::Bytes(contents.into()))
            }
            EntryKind::Symlink(target) => NodeKind::Symlink(target),
            EntryKind::HardLink(target) => self.linked(package, &target)?,
        };
        let node = Node {
            kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            attributes: entry.attributes,
        };
        self.place(package, &entry.path, node)
    }

    /// A directory that a package expects below `/var`, which lives in state: made at every boot.
    fn note_var_directory(&mut self, entry: &Entry) {
        let known = [
            "var/lib",
            "var/cache",
            "var/log",
            "var/tmp",
            "var/spool",
            "var/local",
        ];
        // Links or folders that systemd's own tmpfiles.d makes, and homes of what is left out.
        let gone = [
            "var/backups",
            "var/lib/dpkg",
            "var/lib/pam",
            "var/lib/vim",
            "var/lock",
            "var/log/runit",
            "var/run",
        ];
        let path = entry.path.as_str();
        if known.contains(&path) || gone.iter().any(|prefix| path.starts_with(prefix)) {
            return;
        }
        let (mode, uid, gid) = (entry.mode, entry.uid, entry.gid);
        let _ = writeln!(self.var, "d /{path} {mode:04o} {uid} {gid}");
        self.tree.insert(
            VAR_TMPFILES,
            Node::file(0o644, self.var.clone().into_bytes()),
        );
    }

    fn linked(&self, package: &str, target: &str) -> Result<NodeKind> {
        let node = self.tree.get(target).ok_or_else(|| BuildError::Package {
            package: package.to_owned(),
            reason: format!("a hard link to {target}, which the recipe leaves out"),
        })?;
        Ok(node.kind.clone())
    }

    fn place(&mut self, package: &str, path: &str, node: Node) -> Result<()> {
        let existing = self.tree.get(path).map(|node| &node.kind);
        match (existing, &node.kind) {
            // The directory a link stands for: packages built before the merge of /usr.
            (Some(NodeKind::Symlink(_)), NodeKind::Directory) => return Ok(()),
            (None, _) | (Some(NodeKind::Directory), NodeKind::Directory) => {}
            (Some(NodeKind::Symlink(old)), NodeKind::Symlink(new)) if old == new => {}
            (Some(_), _) => {
                return Err(BuildError::Package {
                    package: package.to_owned(),
                    reason: format!("{path} is in another package too"),
                });
            }
        }
        self.tree.insert(path, node);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        let attributes = std::collections::BTreeMap::new();
        Entry {
            path: path.to_owned(),
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            attributes,
        }
    }

    #[test]
    fn two_packages_with_the_same_file_are_refused() {
        let mut merge = Merge::default();
        merge
            .take("a", entry("usr/bin/x", EntryKind::File(vec![1])))
            .expect("the first");
        let error = merge.take("b", entry("usr/bin/x", EntryKind::File(vec![2])));
        assert!(
            error
                .expect_err("the second")
                .to_string()
                .contains("usr/bin/x")
        );
        merge
            .take("b", entry("usr/bin", EntryKind::Directory))
            .expect("directories are shared");
    }

    #[test]
    fn kernels_are_set_aside_and_var_becomes_tmpfiles() {
        let mut merge = Merge::default();
        merge
            .take("linux", entry("boot/vmlinuz-6", EntryKind::File(vec![7])))
            .expect("taken");
        merge
            .take("x", entry("var/lib/x", EntryKind::Directory))
            .expect("taken");
        assert_eq!(merge.kernel, Some(vec![7]));
        let text = merge
            .tree
            .file(VAR_TMPFILES)
            .expect("written")
            .to_vec()
            .expect("memory");
        assert_eq!(text, b"d /var/lib/x 0755 0 0\n");
        assert!(merge.tree.get("var/lib/x").is_none());
    }

    #[test]
    fn keep_wins_over_remove() {
        let files = Files {
            remove: vec!["usr/share/doc/**".to_owned()],
            keep: vec!["usr/share/doc/*/copyright".to_owned()],
            forbid: vec![],
            directories: vec![],
        };
        assert!(is_taken(&files, "usr/share/doc/bash/copyright"));
        assert!(!is_taken(&files, "usr/share/doc/bash/README"));
    }
}

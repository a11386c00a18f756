//! The tools tree: Debian programs of the image's own release, unpacked, run through their own ld.so.
//!
//! So the same image comes out on any build machine, whatever it has installed, and without root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::deb;
use crate::error::{BuildError, NO_SPACE, Result, make_directory, write_bytes};
use crate::fetch::PackageCache;
use crate::lock::LockedPackage;
use crate::tar_tree::{Entry, EntryKind, read_entries};

const LIBRARY_FOLDERS: [&str; 2] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
];

/// An unpacked tools tree.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// The tree below a directory.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// A file of the tree.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A command that runs a dynamically linked program of the tree.
    pub fn command(&self, program: &str) -> Command {
        let libraries: Vec<String> = LIBRARY_FOLDERS
            .iter()
            .map(|folder| self.root.join(folder).display().to_string())
            .collect();
        let mut command = Command::new(self.root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(libraries.join(":"))
            .arg(self.root.join(program));
        command
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/bin:/bin");
        command
    }
}

/// Runs a command that writes to `target` to its end; what it printed is the error's text when it fails.
pub fn run(program: &str, command: &mut Command, target: &Path) -> Result<Output> {
    let output = command.output().map_err(|source| BuildError::ToolMissing {
        program: program.to_owned(),
        advice: "it comes with the tools tree; remove the build cache and build again".to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let text = [&output.stderr[..], &output.stdout[..]].concat();
    let text = String::from_utf8_lossy(&text);
    if text.contains(NO_SPACE) || free_bytes(target)? < LEAST_FREE_BYTES {
        return Err(BuildError::DiskFull {
            action: "write",
            path: target.into(),
        });
    }
    Err(BuildError::Tool {
        program: program.to_owned(),
        status: output.status.to_string(),
        output: text.trim().to_owned(),
    })
}

/// With less than this, a tool's complaint is taken for one of a full disk, whatever it says: mkfs.erofs
/// then speaks of wrong checksums.
const LEAST_FREE_BYTES: u64 = 1 << 20;

/// Room on the file system that holds a file or will hold it.
pub fn free_bytes(path: &Path) -> Result<u64> {
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(path)
    };
    let statistics = rustix::fs::statvfs(folder)
        .map_err(|e| BuildError::io("ask for the free space of", folder, e.into()))?;
    Ok(statistics.f_bavail * statistics.f_frsize)
}

/// Unpacks packages into a directory, without owners: only what programs need to run.
pub fn unpack(cache: &PackageCache, packages: &[&LockedPackage], directory: &Path) -> Result<()> {
    // The merged-/usr links come from base-files, which the tools do not pull in.
    for name in ["bin", "sbin", "lib", "lib64"] {
        make_directory(&directory.join("usr").join(name))?;
        let link = directory.join(name);
        symlink(format!("usr/{name}"), &link).map_err(|e| BuildError::io("create", &link, e))?;
    }
    let wanted =
        |path: &str| !path.starts_with("usr/share/doc/") && !path.starts_with("usr/share/man/");
    for package in packages {
        deb::read_data(&cache.path(package), |data| {
            read_entries(data, &package.name, wanted, |entry| place(directory, entry))
        })?;
    }
    Ok(())
}

fn place(directory: &Path, entry: Entry) -> Result<()> {
    let path = directory.join(&entry.path);
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    let failed = |e| BuildError::io("create", &path, e);
    match entry.kind {
        EntryKind::Directory if path.is_symlink() => Ok(()),
        EntryKind::Directory => make_directory(&path),
        EntryKind::File(contents) => {
            write_bytes(&path, &contents)?;
            let mode = fs::Permissions::from_mode(entry.mode & 0o755 | 0o600);
            fs::set_permissions(&path, mode).map_err(failed)
        }
        EntryKind::Symlink(target) => {
            // A merged-/usr package may bring a link that stands already.
            if path.is_symlink() {
                Ok(())
            } else {
                symlink(target, &path).map_err(failed)
            }
        }
        EntryKind::HardLink(target) => {
            fs::copy(directory.join(target), &path).map_err(failed)?;
            Ok(())
        }
    }
}

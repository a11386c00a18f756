//! The finished image where its user finds it: the disk, the parts for booting without firmware, and a
//! manifest that says what they are.
//!
//! Files appear under their final names by rename, the manifest last.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use disk_format::gpt::SectorSize;

use crate::build::BuildOptions;
use crate::cache::{Cache, Event};
use crate::compose::Identity;
use crate::error::{
    BuildError, Result, create, make_directory, open, read_text, rename, write_bytes,
};

/// What an image is and which files it consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `IMAGE_VERSION=` of its os-release.
    pub version: String,
    /// The product.
    pub product: String,
    /// Hash of everything it is made of.
    pub build_id: String,
    /// Root hash of the verity tree, in hexadecimal.
    pub root_hash: String,
    /// Checksum of the root as an `OSTree` commit.
    pub ostree_commit: String,
    /// Kernel command line.
    pub command_line: String,
    /// Disk image.
    pub disk: PathBuf,
    /// Kernel.
    pub kernel: PathBuf,
    /// Initramfs.
    pub initramfs: PathBuf,
    /// Unified kernel image.
    pub uki: PathBuf,
    /// Root file system image.
    pub root: PathBuf,
    /// Hash tree of the root.
    pub verity: PathBuf,
    /// UEFI firmware for QEMU.
    pub firmware_code: PathBuf,
    /// Template of that firmware's variables.
    pub firmware_variables: PathBuf,
}

/// A manifest with absolute paths, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// What was built.
    pub manifest: Manifest,
    /// The manifest's own path.
    pub manifest_path: PathBuf,
}

impl BuiltImage {
    /// Reads what an earlier build left.
    pub fn load(manifest_path: &Path) -> Result<Self> {
        let text = read_text(manifest_path)?;
        let mut manifest: Manifest = serde_json::from_str(&text)
            .map_err(|e| BuildError::format("manifest of a built image", e))?;
        let folder = manifest_path.parent().unwrap_or(Path::new("."));
        for path in manifest.files_mut() {
            *path = folder.join(&*path);
        }
        Ok(Self {
            manifest,
            manifest_path: manifest_path.into(),
        })
    }
}

impl Manifest {
    fn files_mut(&mut self) -> [&mut PathBuf; 8] {
        [
            &mut self.disk,
            &mut self.kernel,
            &mut self.initramfs,
            &mut self.uki,
            &mut self.root,
            &mut self.verity,
            &mut self.firmware_code,
            &mut self.firmware_variables,
        ]
    }
}

/// What is remembered to see whether an output is still what the build left.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DiskStamp {
    source: PathBuf,
    modified: SystemTime,
}

/// Where an image goes.
#[derive(Debug, Clone)]
pub struct Output {
    folder: PathBuf,
    stem: String,
}

impl Output {
    /// The output of a build.
    pub fn new(options: &BuildOptions, identity: &Identity) -> Self {
        let sectors = match options.sector_size {
            SectorSize::Bytes512 => "",
            SectorSize::Bytes4096 => "-4k",
        };
        Self {
            folder: options.output.clone(),
            stem: format!("keelson-{}{sectors}", identity.product),
        }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.stem))
    }

    /// Copies or links the step results that `manifest` names and writes it with its new paths.
    ///
    /// Everything is complete under partial names before anything gets its final one, and while names
    /// change there is no manifest: whoever finds one finds the files it speaks of.
    pub fn publish(&self, manifest: &Manifest, cache: &Cache<'_>) -> Result<BuiltImage> {
        let begun = Instant::now();
        make_directory(&self.folder)?;
        let disk = self.prepare_disk(&manifest.disk)?;
        let took = matches!(disk, Disk::Copied).then(|| begun.elapsed());
        let mut published = manifest.clone();
        let mut prepared = Vec::new();
        for (path, suffix) in published.files_mut().into_iter().zip(SUFFIXES) {
            let target = self.path(suffix);
            if suffix != DISK_SUFFIX {
                link(path, &partial(&target))?;
                prepared.push(target);
            } else if matches!(disk, Disk::Copied) {
                prepared.push(target);
            }
            *path = PathBuf::from(format!("{}{suffix}", self.stem));
        }
        let manifest_path = self.path(".json");
        let text = serde_json::to_vec_pretty(&published).expect("strings are JSON");
        write_bytes(&partial(&manifest_path), &text)?;
        remove_if_there(&manifest_path)?;
        prepared.iter().try_for_each(|path| put_in_place(path))?;
        self.write_stamp(&manifest.disk)?;
        put_in_place(&manifest_path)?;
        let summary = self.path(DISK_SUFFIX).display().to_string();
        cache.report(Event::Finished {
            step: "output",
            took,
            summary: &summary,
        });
        BuiltImage::load(&manifest_path)
    }

    /// Copies the disk, unless the last copy of the same one is still as it was written. A link would
    /// let a machine that boots from it change the cache.
    fn prepare_disk(&self, source: &Path) -> Result<Disk> {
        let (target, stamp) = (self.path(DISK_SUFFIX), self.path(".raw.stamp"));
        if read_stamp(&stamp).is_some_and(|old| Some(old) == current_stamp(source, &target)) {
            return Ok(Disk::Unchanged);
        }
        copy_sparse(source, &partial(&target))?;
        Ok(Disk::Copied)
    }

    fn write_stamp(&self, source: &Path) -> Result<()> {
        let (target, stamp) = (self.path(DISK_SUFFIX), self.path(".raw.stamp"));
        let Some(new) = current_stamp(source, &target) else {
            return Ok(());
        };
        let text = serde_json::to_vec(&new).expect("a path and a time are JSON");
        write_bytes(&partial(&stamp), &text)?;
        put_in_place(&stamp)
    }
}

/// Whether the disk had to be copied.
enum Disk {
    Copied,
    Unchanged,
}

/// What the disk is called after the stem.
const DISK_SUFFIX: &str = ".raw";
/// What the files of a manifest are called after the stem, in the order of `Manifest::files_mut`.
const SUFFIXES: [&str; 8] = [
    DISK_SUFFIX,
    ".vmlinuz",
    ".initramfs",
    ".efi",
    ".erofs",
    ".verity",
    ".OVMF_CODE.fd",
    ".OVMF_VARS.fd",
];

fn read_stamp(path: &Path) -> Option<DiskStamp> {
    serde_json::from_str(&read_text(path).ok()?).ok()
}

fn current_stamp(source: &Path, target: &Path) -> Option<DiskStamp> {
    let modified = fs::metadata(target).ok()?.modified().ok()?;
    Some(DiskStamp {
        source: source.into(),
        modified,
    })
}

fn partial(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(BuildError::io("remove", path, e))
        }
        _ => Ok(()),
    }
}

/// Gives a complete file its final name.
fn put_in_place(target: &Path) -> Result<()> {
    rename(&partial(target), target)?;
    // Renaming a link over another link of the same file does nothing and leaves both.
    remove_if_there(&partial(target))
}

/// A hard link, or a copy where the output is on another file system.
fn link(source: &Path, target: &Path) -> Result<()> {
    remove_if_there(target)?;
    if fs::hard_link(source, target).is_err() {
        fs::copy(source, target).map_err(|e| BuildError::io("write", target, e))?;
    }
    Ok(())
}

/// Copies a file and keeps its holes.
pub fn copy_sparse(source: &Path, target: &Path) -> Result<()> {
    let mut from = open(source)?;
    let mut to = create(target)?;
    let length = from
        .metadata()
        .map_err(|e| BuildError::io("read", source, e))?
        .len();
    to.set_len(length)
        .map_err(|e| BuildError::io("grow", target, e))?;
    let mut at = 0;
    while let Some((start, end)) = next_data(&from, at, source)? {
        from.seek(SeekFrom::Start(start))
            .map_err(|e| BuildError::io("read", source, e))?;
        to.seek(SeekFrom::Start(start))
            .map_err(|e| BuildError::io("write", target, e))?;
        let mut range = std::io::Read::take(&mut from, end - start);
        std::io::copy(&mut range, &mut to).map_err(|e| BuildError::io("write", target, e))?;
        at = end;
    }
    to.flush().map_err(|e| BuildError::io("write", target, e))
}

fn next_data(file: &fs::File, at: u64, path: &Path) -> Result<Option<(u64, u64)>> {
    use rustix::fs::SeekFrom as Seek;
    let failed = |e: rustix::io::Errno| BuildError::io("read", path, e.into());
    let start = match rustix::fs::seek(file, Seek::Data(at)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let end = rustix::fs::seek(file, Seek::Hole(start)).map_err(failed)?;
    Ok(Some((start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_sparse_copy_has_the_same_bytes_and_keeps_its_holes() {
        let folder = tempfile::tempdir().expect("a directory");
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        let mut file = create(&from).expect("created");
        file.set_len(64 << 20).expect("grown");
        file.seek(SeekFrom::Start(10 << 20)).expect("sought");
        file.write_all(&vec![7; 100_000]).expect("written");
        copy_sparse(&from, &to).expect("copied");
        assert_eq!(fs::read(&from).expect("read"), fs::read(&to).expect("read"));
        assert!(fs::metadata(&to).expect("there").blocks() * 512 < 4 << 20);
    }
}

//! Bytes: of a root's files, of a download, of initramfs and boot image.
//!
//! Sizes do not vary from run to run: each is measured once.

use anyhow::{Context as _, bail};
use image_build::output::{BuiltImage, Manifest};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::stock::StockImage;
use crate::stock_disk;
use crate::table::{Peer, Row, Target, Unit, megabytes};

const CONTENT_MB_LIMIT: f64 = 400.0;
const DOWNLOAD_MB_LIMIT: f64 = 105.0;
const INITRAMFS_MB_LIMIT: f64 = 3.0;
const UKI_MB_LIMIT: f64 = 16.0;

/// Measures all sizes; `cache` is what the image was built in.
pub(crate) fn measure(
    image: &BuiltImage,
    cache: &Path,
    stock: Option<&StockImage>,
) -> anyhow::Result<Vec<Row>> {
    let manifest = &image.manifest;
    let peer = stock.map(StockSizes::measure).transpose()?;
    let row = |name: &str, ours: u64, of: fn(&StockSizes) -> u64, limit: f64| {
        let stock = peer.as_ref().map_or(Peer::Absent("needs root"), |sizes| {
            Peer::Measured(vec![megabytes(of(sizes))])
        });
        Row::new(name, Unit::Megabytes, vec![megabytes(ours)], stock)
            .with_target(Target::AtMost(limit))
    };
    eprintln!("bench: compressing Keelson");
    let content = tar_content_bytes(&composed_root(cache)?)?;
    let boot = length(&manifest.uki)?;
    Ok(vec![
        row(
            "files of the root",
            content,
            |s| s.content,
            CONTENT_MB_LIMIT,
        ),
        row(
            "download (zstd -19 --long=27)",
            download(manifest)?,
            |s| s.download,
            DOWNLOAD_MB_LIMIT,
        ),
        row(
            "initramfs",
            length(&manifest.initramfs)?,
            |s| s.initramfs,
            INITRAMFS_MB_LIMIT,
        ),
        row(
            "boot image (stock: kernel and initramfs)",
            boot,
            |s| s.boot,
            UKI_MB_LIMIT,
        ),
    ])
}

#[derive(Debug)]
struct StockSizes {
    content: u64,
    download: u64,
    initramfs: u64,
    boot: u64,
}

impl StockSizes {
    fn measure(image: &StockImage) -> anyhow::Result<Self> {
        let (kernel, initramfs) = stock_disk::boot_files(&image.tree)?;
        let (kernel, initramfs) = (length(&kernel)?, length(&initramfs)?);
        eprintln!("bench: compressing the stock Debian");
        let mut archive = Command::new("tar");
        archive.args(["--create", "--sort=name", "--numeric-owner", "--directory"]);
        archive.arg(&image.tree).arg(".");
        let whole = folder_content_bytes(&image.tree, &mut BTreeSet::new())?;
        // Ours has its kernel and initramfs outside of the root.
        let content = whole - folder_content_bytes(&image.tree.join("boot"), &mut BTreeSet::new())?;
        Ok(Self {
            content,
            download: compressed_bytes(archive)?,
            initramfs,
            boot: kernel + initramfs,
        })
    }
}

/// Root, hash tree and boot image, as one stream.
fn download(manifest: &Manifest) -> anyhow::Result<u64> {
    let mut files = Command::new("cat");
    files.args([&manifest.root, &manifest.verity, &manifest.uki]);
    compressed_bytes(files)
}

/// How long what `producer` prints is once compressed.
fn compressed_bytes(mut producer: Command) -> anyhow::Result<u64> {
    let mut producer = Ended(
        producer
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let stream = producer.0.stdout.take().context("the stream is piped")?;
    let mut zstd = Command::new("zstd");
    zstd.args(["-q", "-19", "--long=27", "-T2", "-c"]);
    let mut zstd = Ended(
        zstd.stdin(stream)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run zstd")?,
    );
    let mut compressed = zstd.0.stdout.take().context("the stream is piped")?;
    let bytes = io::copy(&mut compressed, &mut io::sink())?;
    for child in [&mut producer, &mut zstd] {
        let status = child.0.wait()?;
        if !status.success() {
            bail!("compressing failed ({status})");
        }
    }
    Ok(bytes)
}

/// A child that does not outlive this, whatever fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // One that has ended already is no failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The root's files as the builder composed them last.
fn composed_root(cache: &Path) -> anyhow::Result<PathBuf> {
    let step = cache.join("compose");
    let latest = step.join("latest");
    let key = fs::read_to_string(&latest).with_context(|| {
        format!(
            "cannot read {}: is it the builder's cache?",
            latest.display()
        )
    })?;
    Ok(step.join(key.trim()).join("root.tar"))
}

fn tar_content_bytes(path: &Path) -> anyhow::Result<u64> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut archive = tar::Archive::new(file);
    let mut sum = 0;
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        if entry.header().entry_type().is_file() {
            sum += entry.size();
        }
    }
    Ok(sum)
}

/// The lengths of all regular files below `folder`, a file with several names once.
fn folder_content_bytes(folder: &Path, seen: &mut BTreeSet<(u64, u64)>) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            sum += folder_content_bytes(&entry.path(), seen)?;
        } else if metadata.is_file() && seen.insert((metadata.dev(), metadata.ino())) {
            sum += metadata.len();
        }
    }
    Ok(sum)
}

fn length(path: &Path) -> anyhow::Result<u64> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(folder.path().join("a"), [0; 100]).unwrap();
        fs::write(inner.join("b"), [0; 7]).unwrap();
        fs::hard_link(folder.path().join("a"), inner.join("c")).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("d")).unwrap();
        assert_eq!(
            folder_content_bytes(folder.path(), &mut BTreeSet::new()).unwrap(),
            107
        );
    }

    #[test]
    fn tar_files_are_summed_without_headers_and_folders() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut archive = tar::Builder::new(file.reopen().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        archive
            .append_data(&mut header, "usr/a", &b"12345"[..])
            .unwrap();
        archive.append_dir("usr", ".").unwrap();
        archive.into_inner().unwrap();
        assert_eq!(tar_content_bytes(file.path()).unwrap(), 5);
    }

    #[test]
    fn compressing_reports_failures() {
        let mut producer = Command::new("sh");
        producer.args(["-c", "echo text; exit 1"]);
        assert!(compressed_bytes(producer).is_err());
        let mut producer = Command::new("head");
        producer.args(["-c", "1000000", "/dev/zero"]);
        assert!(compressed_bytes(producer).unwrap() < 1000);
    }
}

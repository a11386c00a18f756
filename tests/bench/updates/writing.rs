//! How fast a root gets into a slot, beside `dd` writing the same bytes to the same place.
//!
//! Ours is all of an installation until the slot is filled: the partition table, the slot compared, every block hashed,
//! written and synced, the hash tree. Both write over zeros.

use anyhow::Context as _;
use disk_format::gpt::SectorSize;
use disk_format::verity::read_digests;
use disk_format::window::Window;
use image_build::output::{BuiltImage, copy_sparse};
use slot_install::boot_folder::MountedBootFolder;
use slot_install::slots::{Running, Slots, root_name};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use update_client::error::ClientError;
use update_client::slot_writer::SlotWriter;

use crate::command;

/// Blocks that a source gives at once.
const CHUNK_BYTES: usize = 64 * 4096;

/// Seconds of ours and of dd.
#[derive(Debug, Default)]
pub(crate) struct Seconds {
    pub(crate) ours: Vec<f64>,
    pub(crate) dd: Vec<f64>,
}

/// Writes `new` into the idle slot of a copy of `current`'s disk, in `folder`, alternating with dd.
pub(crate) fn measure(
    current: &BuiltImage,
    new: &BuiltImage,
    folder: &Path,
    runs: u32,
) -> anyhow::Result<Seconds> {
    let disk = folder.join("disk.raw");
    copy_sparse(&current.manifest.disk, &disk)?;
    let boot = tempfile::tempdir_in(folder)?;
    let entry = format!("keelson_{}.efi", current.manifest.version);
    fs::write(boot.path().join(entry), "")?;
    let place = open(&disk, boot.path(), current)?.1;
    let mut seconds = Seconds::default();
    for run in 1..=runs {
        eprintln!("bench: writing a slot, run {run}");
        dd(Path::new("/dev/zero"), &disk, place, new)?;
        seconds.dd.push(dd(&new.manifest.root, &disk, place, new)?);
        dd(Path::new("/dev/zero"), &disk, place, new)?;
        seconds.ours.push(ours(&disk, boot.path(), current, new)?);
    }
    fs::remove_file(&disk)?;
    Ok(seconds)
}

type DiskSlots = Slots<File, MountedBootFolder>;

/// The slots, and where on the disk the idle one begins.
fn open(disk: &Path, boot: &Path, current: &BuiltImage) -> anyhow::Result<(DiskSlots, u64)> {
    let mut file = File::options().read(true).write(true).open(disk)?;
    let table = disk_format::gpt::PartitionTable::read(&mut file, SectorSize::Bytes512)?;
    let running = Running {
        version: current.manifest.version.parse()?,
        root_hash: current.manifest.root_hash.parse()?,
        counted: false,
    };
    let boot = MountedBootFolder::new(boot);
    let slots = Slots::open(file, SectorSize::Bytes512, boot, running)?;
    let partition = table.by_name(root_name(slots.idle()));
    let start = partition
        .context("the disk has no idle slot")?
        .1
        .start_bytes;
    Ok((slots, start))
}

/// Seconds of dd, until it is durable.
fn dd(from: &Path, disk: &Path, place: u64, new: &BuiltImage) -> anyhow::Result<f64> {
    let length = fs::metadata(&new.manifest.root)?.len();
    let mut dd = Command::new("dd");
    dd.args(["bs=1M", "conv=notrunc,fsync", "oflag=seek_bytes"]);
    dd.arg("iflag=count_bytes,fullblock");
    dd.arg(format!("count={length}"));
    dd.arg(format!("seek={place}"));
    dd.arg(format!("if={}", from.display()));
    dd.arg(format!("of={}", disk.display()));
    Ok(command::run(&mut dd)?.0.as_secs_f64())
}

fn ours(disk: &Path, boot: &Path, current: &BuiltImage, new: &BuiltImage) -> anyhow::Result<f64> {
    let (mut slots, _) = open(disk, boot, current)?;
    let root = fs::read(&new.manifest.root)?;
    let tree = fs::read(&new.manifest.verity)?;
    let (superblock, leaves) = read_digests(&tree[..], &new.manifest.root_hash.parse()?)?;
    let begun = Instant::now();
    let write = |partition: Window<&mut File>| -> Result<(), ClientError> {
        let mut writer = SlotWriter::new(partition, &leaves, &superblock.salt)?;
        for blocks in root.chunks(CHUNK_BYTES) {
            writer.offer(blocks)?;
        }
        writer.sync()
    };
    slots.fill(&tree, write, &mut |_| Ok(()))?;
    Ok(begun.elapsed().as_secs_f64())
}

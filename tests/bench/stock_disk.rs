//! The stock Debian's disk: an EFI system partition with systemd-boot, kernel and initramfs, and an
//! ext4 root.
//!
//! No loop device and no mount: the file systems are made in place.

use anyhow::{Context as _, bail};
use disk_format::esp::{self, EspOptions};
use disk_format::gpt::{Partition, PartitionTable, SectorSize, partition_type};
use disk_format::window::Window;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

use crate::command;

/// The device of the root file system in a machine with this disk on virtio.
pub(crate) const ROOT_DEVICE: &str = "/dev/vda2";

const MIB: u64 = 1 << 20;
const ESP_MIB: u64 = 512;
const ROOT_MIB: u64 = 4096;

/// What the stock kernel is told: what Debian's installer does, and a serial console.
pub(crate) fn command_line() -> String {
    format!("root={ROOT_DEVICE} ro quiet console=tty0 console=ttyS0,115200")
}

/// The kernel and the initramfs in a tree.
pub(crate) fn boot_files(tree: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let boot = tree.join("boot");
    Ok((only(&boot, "vmlinuz-")?, only(&boot, "initrd.img-")?))
}

fn only(folder: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    match found.pop() {
        Some(path) if found.is_empty() => Ok(path),
        _ => bail!("{} does not hold exactly one {prefix}*", folder.display()),
    }
}

/// Makes the disk `path` of the root file system `tree`.
pub(crate) fn make(tree: &Path, path: &Path) -> anyhow::Result<()> {
    let length_bytes = (ESP_MIB + ROOT_MIB + 2) * MIB;
    let mut disk = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)?;
    disk.set_len(length_bytes)?;
    let esp = partition("esp", partition_type::ESP, 1, ESP_MIB);
    let root = partition("root", partition_type::ROOT_X86_64, 1 + ESP_MIB, ROOT_MIB);
    make_root(tree, path, &root)?;
    make_esp(tree, &disk, &esp)?;
    let table = PartitionTable {
        disk_guid: guid(0),
        sector_size: SectorSize::Bytes512,
        partitions: BTreeMap::from([(1, esp), (2, root)]),
    };
    table
        .write(&mut disk, length_bytes)
        .context("cannot write the partition table")
}

fn partition(name: &str, type_guid: Uuid, start_mib: u64, length_mib: u64) -> Partition {
    Partition {
        type_guid,
        guid: guid(start_mib),
        name: name.to_owned(),
        attributes: 0,
        start_bytes: start_mib * MIB,
        length_bytes: length_mib * MIB,
    }
}

/// Nothing else has this disk's names: any will do.
fn guid(number: u64) -> Uuid {
    Uuid::from_u64_pair(0x6b65_656c_736f_4e00, 0x8000_0000_0000_0000 | number)
}

fn make_root(tree: &Path, path: &Path, place: &Partition) -> anyhow::Result<()> {
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-d"]).arg(tree);
    // Else the kernel would go on making the file system while the machine is measured.
    let offset = place.start_bytes;
    make.args([
        "-E",
        &format!("offset={offset},lazy_itable_init=0,lazy_journal_init=0"),
    ]);
    make.arg(path)
        .arg(format!("{}k", place.length_bytes / 1024));
    command::run(&mut make).map(drop)
}

fn make_esp(tree: &Path, disk: &File, place: &Partition) -> anyhow::Result<()> {
    let (kernel, initramfs) = boot_files(tree)?;
    let loader = tree.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed");
    let entry = format!(
        "title Debian\nlinux /debian/vmlinuz\ninitrd /debian/initrd.img\noptions {}\n",
        command_line()
    );
    let options = EspOptions {
        length_bytes: place.length_bytes,
        sector_size: SectorSize::Bytes4096,
        volume_id: 0x6b65_656c,
        label: *b"DEBIAN-ESP ",
        timestamp_seconds: 0,
    };
    let window = Window::new(disk, place.start_bytes, place.length_bytes)?;
    let mut esp = esp::format(window, &options)?;
    let open =
        |path: &Path| File::open(path).with_context(|| format!("cannot open {}", path.display()));
    let files: [(&str, Box<dyn Read + '_>); 5] = [
        ("EFI/BOOT/BOOTX64.EFI", Box::new(open(&loader)?)),
        ("loader/loader.conf", Box::new(&b"timeout 0\n"[..])),
        ("loader/entries/debian.conf", Box::new(entry.as_bytes())),
        ("debian/vmlinuz", Box::new(open(&kernel)?)),
        ("debian/initrd.img", Box::new(open(&initramfs)?)),
    ];
    for (name, mut contents) in files {
        esp.write_file(name, &mut contents)?;
    }
    esp.finish()?;
    Ok(())
}

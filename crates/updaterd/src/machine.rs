//! The machine that is updated: what runs, and its disk with the two slots.
//!
//! Changes nothing by itself.

use std::fs::{File, OpenOptions};

use anyhow::Context as _;
use disk_format::gpt::SectorSize;
use machine_facts::boot_entries;
use machine_facts::boot_facts::BootFacts;
use machine_facts::release::Release;
use machine_facts::system_root::SystemRoot;
use slot_install::boot_folder::MountedBootFolder;
use slot_install::slots::{Running, Slots};

/// The disk's slots, and the boot loader's folder.
pub type MachineSlots = Slots<File, MountedBootFolder>;

/// A running Keelson system.
#[derive(Debug)]
pub struct Machine {
    root: SystemRoot,
    disk: String,
    /// Which image it runs.
    pub product: String,
    /// `/etc/machine-id`.
    pub id: String,
    /// What it runs.
    pub running: Running,
}

impl Machine {
    /// Gathers the facts.
    pub fn read(root: &SystemRoot) -> anyhow::Result<Self> {
        let facts = BootFacts::read(root)
            .context("this machine was not booted by Keelson's /init, so it has no slots")?;
        let version = facts
            .version
            .context("keelson.version= was not on the kernel command line")?;
        Ok(Self {
            root: root.clone(),
            disk: facts.disk,
            product: Release::read(root)?.product,
            id: root.read_word("/etc/machine-id")?,
            running: Running {
                version: version.parse()?,
                root_hash: facts.root_hash,
                counted: facts.counted,
            },
        })
    }

    /// Opens the disk. Every call gives a position of its own.
    pub fn slots(&self) -> anyhow::Result<MachineSlots> {
        let path = self.root.path(&self.disk);
        let disk = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open the disk {}", self.disk))?;
        let sector_size = sector_size(&disk)
            .with_context(|| format!("the disk {} has odd sectors", self.disk))?;
        let folder = MountedBootFolder::new(&self.root.path(boot_entries::FOLDER));
        Ok(Slots::open(
            disk,
            sector_size,
            folder,
            self.running.clone(),
        )?)
    }
}

/// Of a device; an image in a file is written for sectors of 512 bytes.
fn sector_size(disk: &File) -> anyhow::Result<SectorSize> {
    match rustix::fs::ioctl_blksszget(disk) {
        Ok(bytes) => Ok(SectorSize::try_from(u64::from(bytes))?),
        Err(_) => Ok(SectorSize::Bytes512),
    }
}

//! The two slots of a disk: where they are, which one runs, and whether something fits into the other.
//!
//! Changes nothing. Roots are found as `/init` finds them, by the GUIDs that follow from their hash.

use std::io::{self, Read, SeekFrom};

use disk_format::boot_entry::{BootEntry, Counter};
use disk_format::disk::Disk;
use disk_format::gpt::{Partition, PartitionTable, SectorSize, partition_type};
use disk_format::uki;
use disk_format::verity::RootHash;
use disk_format::window::Window;
use update_model::progress::{Room, Slot};
use update_model::version::Version;

use crate::boot_folder::BootFolder;
use crate::error::{InstallError, Result};

/// Extension of a kernel image that is not complete; the boot loader reads names that end in `.efi` only.
pub(crate) const INCOMPLETE: &str = ".new";
/// What a file on the ESP may cost beyond its length: a cluster, and an entry of the folder.
const ESP_OVERHEAD_BYTES: u64 = 1 << 20;

/// What this machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its version.
    pub version: Version,
    /// What its root is verified by.
    pub root_hash: RootHash,
    /// Whether the boot loader counted this boot: then the version is on trial until its entry has lost
    /// its counter.
    pub counted: bool,
}

/// What shall be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its version.
    pub version: Version,
    /// What its root is verified by.
    pub root_hash: RootHash,
    /// The root's length in bytes.
    pub root_bytes: u64,
    /// The hash tree's.
    pub tree_bytes: u64,
    /// The unified kernel image's.
    pub boot_image_bytes: u64,
}

/// A disk with two slots, one of which runs.
#[derive(Debug)]
pub struct Slots<D, B> {
    pub(crate) disk: D,
    pub(crate) length_bytes: u64,
    pub(crate) table: PartitionTable,
    pub(crate) boot: B,
    pub(crate) running: Running,
    idle: Slot,
}

/// The name of a slot's root partition.
pub fn root_name(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "root-a",
        Slot::B => "root-b",
    }
}

/// The name of its hash tree's.
pub fn tree_name(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "root-a-verity",
        Slot::B => "root-b-verity",
    }
}

impl<D: Disk, B: BootFolder> Slots<D, B> {
    /// Reads the partition table and finds the slot that runs.
    pub fn open(mut disk: D, sector_size: SectorSize, boot: B, running: Running) -> Result<Self> {
        let read = |source| InstallError::Table {
            action: "read",
            source,
        };
        let length_bytes = disk
            .seek(SeekFrom::End(0))
            .map_err(|source| read(disk_format::gpt::GptError::Length(source)))?;
        let table = PartitionTable::read(&mut disk, sector_size).map_err(read)?;
        let holds = |slot: &Slot| {
            let guid = |name| table.by_name(name).map(|(_, partition)| partition.guid);
            guid(root_name(*slot)) == Some(running.root_hash.data_partition_guid())
                && guid(tree_name(*slot)) == Some(running.root_hash.hash_partition_guid())
        };
        let runs = [Slot::A, Slot::B].into_iter().find(holds);
        let idle = runs
            .ok_or(InstallError::NotHere(running.root_hash))?
            .other();
        let slots = Self {
            disk,
            length_bytes,
            table,
            boot,
            running,
            idle,
        };
        slots.partition(root_name(idle))?;
        slots.partition(tree_name(idle))?;
        Ok(slots)
    }

    /// The slot that does not run.
    pub fn idle(&self) -> Slot {
        self.idle
    }

    /// What runs.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// A slot's root partition.
    pub fn root(&mut self, slot: Slot) -> Result<Window<&mut D>> {
        self.window(root_name(slot))
    }

    /// A slot's hash tree partition.
    pub fn tree(&mut self, slot: Slot) -> Result<Window<&mut D>> {
        self.window(tree_name(slot))
    }

    /// The boot loader's folder.
    pub fn boot_folder(&self) -> &B {
        &self.boot
    }

    /// Whether this may be installed at all, whatever room it needs.
    pub fn check(&self, candidate: &Candidate, floor: Option<&Version>) -> Result<()> {
        if candidate.root_hash == self.running.root_hash {
            return Err(InstallError::SameRoot(candidate.root_hash));
        }
        if candidate.version == self.running.version {
            return Err(InstallError::SameVersion(candidate.version.clone()));
        }
        if let Some(floor) = floor.filter(|floor| candidate.version < **floor) {
            return Err(InstallError::BelowFloor {
                version: candidate.version.clone(),
                floor: floor.clone(),
            });
        }
        self.check_fallback()
    }

    /// The running version must be good, and the boot loader able to come back to it.
    fn check_fallback(&self) -> Result<()> {
        let version = &self.running.version;
        let entries = self.entries()?;
        let own = entries.iter().find(|(_, entry)| self.is_own(entry));
        match own.map(|(_, entry)| entry.counter) {
            None | Some(Counter::Counted { tries_left: 0, .. }) => {
                Err(InstallError::NoOwnEntry(version.clone()))
            }
            Some(Counter::Counted { .. }) if self.running.counted => {
                Err(InstallError::OnTrial(version.clone()))
            }
            Some(_) => Ok(()),
        }
    }

    /// What there is room for, once the idle slot's boot entry is gone; of the state partition nothing is known.
    pub fn room(&self) -> Result<Room> {
        let mut esp = self
            .boot
            .free_bytes()
            .map_err(InstallError::boot("look at", ""))?;
        for name in self.removable()? {
            let length = self.boot.length(&name);
            esp += length.map_err(InstallError::boot("look at", &name))?;
        }
        Ok(Room {
            root_partition: self.partition(root_name(self.idle))?.length_bytes,
            tree_partition: self.partition(tree_name(self.idle))?.length_bytes,
            esp: esp.saturating_sub(ESP_OVERHEAD_BYTES),
            state: 0,
        })
    }

    /// What the idle slot holds, by its partitions' GUIDs and types, if it is this root.
    pub(crate) fn idle_holds(&self, root_hash: &RootHash) -> bool {
        let is = |name, guid, type_guid| {
            self.table
                .by_name(name)
                .is_some_and(|(_, p)| p.guid == guid && p.type_guid == type_guid)
        };
        let (root, tree) = (root_name(self.idle), tree_name(self.idle));
        is(
            root,
            root_hash.data_partition_guid(),
            partition_type::ROOT_X86_64,
        ) && is(
            tree,
            root_hash.hash_partition_guid(),
            partition_type::ROOT_X86_64_VERITY,
        )
    }

    /// The boot entries that are Keelson's, with their file names.
    pub(crate) fn entries(&self) -> Result<Vec<(String, BootEntry)>> {
        let names = self.boot.list().map_err(InstallError::boot("list", ""))?;
        let parsed = names.into_iter();
        Ok(parsed
            .filter_map(|name| {
                let entry = BootEntry::parse(&name)?;
                Some((name, entry))
            })
            .collect())
    }

    pub(crate) fn is_own(&self, entry: &BootEntry) -> bool {
        entry.version == self.running.version.as_str()
    }

    /// Files of the folder that go before the idle slot is written: entries of other versions than the running
    /// one, and what an interrupted installation left.
    pub(crate) fn removable(&self) -> Result<Vec<String>> {
        let mut names = self.boot.list().map_err(InstallError::boot("list", ""))?;
        names.retain(|name| match name.strip_suffix(INCOMPLETE) {
            Some(complete) => BootEntry::parse(complete).is_some(),
            None => BootEntry::parse(name).is_some_and(|entry| !self.is_own(&entry)),
        });
        Ok(names)
    }

    pub(crate) fn partition(&self, name: &str) -> Result<&Partition> {
        let found = self.table.by_name(name);
        found
            .map(|(_, partition)| partition)
            .ok_or_else(|| InstallError::NoPartition(name.to_owned()))
    }

    pub(crate) fn window(&mut self, name: &str) -> Result<Window<&mut D>> {
        let Partition {
            start_bytes,
            length_bytes,
            ..
        } = *self.partition(name)?;
        Window::new(&mut self.disk, start_bytes, length_bytes).map_err(|source| {
            InstallError::Partition {
                partition: name.to_owned(),
                source,
            }
        })
    }
}

/// The root that a unified kernel image boots, from its command line.
pub fn root_hash_of(image: &[u8]) -> Option<RootHash> {
    let sections = uki::sections(image).ok()?;
    let (_, range) = sections.into_iter().find(|(name, _)| name == ".cmdline")?;
    let command_line = String::from_utf8_lossy(image.get(range)?).into_owned();
    let mut words = command_line.split(|c: char| c.is_whitespace() || c == '\0');
    words.find_map(|word| word.strip_prefix("keelson.roothash=")?.parse().ok())
}

/// Reads the whole of a tree that begins with its superblock.
pub fn read_tree(partition: &mut impl Read) -> io::Result<Vec<u8>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut tree = vec![0; 4096];
    partition.read_exact(&mut tree)?;
    let superblock = disk_format::verity::Superblock::parse(&tree).map_err(invalid)?;
    let data_bytes = superblock.data_blocks.saturating_mul(4096);
    let length = disk_format::verity::tree_length_bytes(data_bytes).map_err(invalid)?;
    partition.take(length - 4096).read_to_end(&mut tree)?;
    if tree.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(tree)
}

//! Versions, and a machine with one of them in slot a, as small as the formats allow.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use disk_format::boot_entry::{BootEntry, Counter};
use disk_format::disk::Disk as _;
use disk_format::gpt::{Partition, PartitionTable, SectorSize, partition_type};
use disk_format::uki::{Section, assemble};
use disk_format::verity::{RootHash, VerityOptions, build, verify};
use disk_format::window::Window;
use slot_install::error::Result;
use slot_install::install::{Done, Parts};
use slot_install::slots::{Candidate, Running, Slots, root_hash_of};
use update_model::version::Version;
use uuid::Uuid;

use crate::power::{Files, Platters, Power, TestDisk, TestFolder};

/// Blocks of a root.
const BLOCKS: usize = 12;
const ROOT_BYTES: u64 = 16 * 4096;
const TREE_BYTES: u64 = 4 * 4096;

/// What is installed, or shall be.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) version: Version,
    pub(crate) root_hash: RootHash,
    pub(crate) root: Vec<u8>,
    pub(crate) tree: Vec<u8>,
    pub(crate) boot_image: Vec<u8>,
}

impl Build {
    pub(crate) fn new(version: &str) -> Self {
        let root: Vec<u8> = (0..BLOCKS * 4096)
            .map(|index| (index / 97).to_le_bytes()[0] ^ version.as_bytes()[index % version.len()])
            .collect();
        let mut tree = Vec::new();
        let options = VerityOptions {
            salt: vec![9; 32],
            uuid: Uuid::from_u128(1),
        };
        let built = build(&root[..], root.len() as u64, &mut tree, &options).expect("a tree");
        let command_line = format!("quiet keelson.roothash={} gpt", built.root_hash);
        let section = Section {
            name: ".cmdline",
            contents: command_line.as_bytes(),
        };
        Self {
            version: version.parse().expect("a version"),
            root_hash: built.root_hash,
            root,
            tree,
            boot_image: assemble(&stub(), &[section]).expect("an image"),
        }
    }

    pub(crate) fn candidate(&self) -> Candidate {
        Candidate {
            version: self.version.clone(),
            root_hash: self.root_hash,
            root_bytes: self.root.len() as u64,
            tree_bytes: self.tree.len() as u64,
            boot_image_bytes: self.boot_image.len() as u64,
        }
    }

    pub(crate) fn running(&self, counted: bool) -> Running {
        Running {
            version: self.version.clone(),
            root_hash: self.root_hash,
            counted,
        }
    }

    pub(crate) fn entry(&self, counter: &str) -> String {
        format!("keelson_{}{counter}.efi", self.version)
    }

    /// All steps, as an updater does them.
    pub(crate) fn install(
        &self,
        slots: &mut Slots<TestDisk, TestFolder>,
        done: Done<'_>,
    ) -> Result<()> {
        slots.check(&self.candidate(), None)?;
        let write_root = |mut partition: Window<&mut TestDisk>| {
            for block in self.root.chunks(4 * 4096) {
                partition.write_all(block)?;
            }
            partition.sync()
        };
        slots.fill(&self.tree, write_root, done)?;
        let parts = Parts {
            version: &self.version,
            root_hash: self.root_hash,
            boot_image: &self.boot_image,
        };
        slots.offer(&parts, done)
    }
}

/// A PE32+ image without sections, as little as the format allows.
fn stub() -> Vec<u8> {
    let mut stub = vec![0; 0x400];
    let mut put =
        |offset: usize, bytes: &[u8]| stub[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0\x64\x86\0\0");
    put(0x40 + 20, &240_u16.to_le_bytes());
    let optional = 0x40 + 24;
    put(optional, &0x20b_u16.to_le_bytes());
    for (field, value) in [
        (32, 0x1000_u32),
        (36, 0x200),
        (56, 0x1000),
        (60, 0x400),
        (108, 16),
    ] {
        put(optional + field, &value.to_le_bytes());
    }
    stub
}

/// A machine that is off: its disk, and what is on its ESP.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) disk: Vec<u8>,
    pub(crate) files: Files,
}

fn table(running: &Build) -> PartitionTable {
    let partition = |name: &str, type_guid, guid, start_bytes, length_bytes| Partition {
        type_guid,
        guid,
        name: name.to_owned(),
        attributes: 0,
        start_bytes,
        length_bytes,
    };
    let empty = partition_type::KEELSON_EMPTY;
    let hash = running.root_hash;
    let mut start = 1 << 16;
    let mut partitions = BTreeMap::new();
    for (number, (name, type_guid, guid, length)) in (1..).zip([
        (
            "root-a",
            partition_type::ROOT_X86_64,
            hash.data_partition_guid(),
            ROOT_BYTES,
        ),
        (
            "root-a-verity",
            partition_type::ROOT_X86_64_VERITY,
            hash.hash_partition_guid(),
            TREE_BYTES,
        ),
        ("root-b", empty, Uuid::from_u128(3), ROOT_BYTES),
        ("root-b-verity", empty, Uuid::from_u128(4), TREE_BYTES),
    ]) {
        partitions.insert(number, partition(name, type_guid, guid, start, length));
        start += length;
    }
    PartitionTable {
        disk_guid: Uuid::from_u128(7),
        sector_size: SectorSize::Bytes512,
        partitions,
    }
}

impl Machine {
    /// With this build in slot a, blessed.
    pub(crate) fn with(running: &Build) -> Self {
        let table = table(running);
        let length = (1 << 16) + 2 * (ROOT_BYTES + TREE_BYTES) + (1 << 16);
        let mut disk = Cursor::new(vec![0; usize::try_from(length).expect("small")]);
        table.write(&mut disk, length).expect("the table fits");
        for (name, contents) in [("root-a", &running.root), ("root-a-verity", &running.tree)] {
            let start = table.by_name(name).expect("it is there").1.start_bytes;
            disk.set_position(start);
            disk.write_all(contents).expect("memory");
        }
        let foreign = ("other.efi".to_owned(), b"not ours".to_vec());
        let own = (running.entry(""), running.boot_image.clone());
        Self {
            disk: disk.into_inner(),
            files: [foreign, own].into(),
        }
    }

    /// Turned on, running this build.
    pub(crate) fn open(
        &self,
        running: Running,
        power: &Power,
    ) -> (Slots<TestDisk, TestFolder>, Platters, TestFolder) {
        let (disk, platters) = TestDisk::new(self.disk.clone(), power);
        let folder = TestFolder::new(self.files.clone(), power);
        let opened = Slots::open(disk, SectorSize::Bytes512, folder.clone(), running);
        (opened.expect("the disk is valid"), platters, folder)
    }

    /// What the boot loader takes first, as systemd-boot orders: tries left, then the newest version.
    pub(crate) fn boots(&self) -> Version {
        let mut entries: Vec<(bool, Version, &Vec<u8>)> = self
            .files
            .iter()
            .filter_map(|(name, image)| {
                let entry = BootEntry::parse(name)?;
                let exhausted = matches!(entry.counter, Counter::Counted { tries_left: 0, .. });
                Some((!exhausted, entry.version.parse().ok()?, image))
            })
            .collect();
        entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let (_, version, image) = entries.pop().expect("nothing boots");
        let hash = root_hash_of(image).expect("the kernel image is whole");
        self.verify(&hash);
        version
    }

    /// Finds the root as `/init` does, and reads all of it.
    fn verify(&self, hash: &RootHash) {
        let mut disk = Cursor::new(self.disk.clone());
        let table = PartitionTable::read(&mut disk, SectorSize::Bytes512).expect("a table");
        let part = |guid| {
            let mut partitions = table.partitions.values();
            let place = partitions.find(|p| p.guid == guid).expect("it is named");
            Window::new(
                Cursor::new(self.disk.clone()),
                place.start_bytes,
                place.length_bytes,
            )
            .expect("it is on the disk")
        };
        let (data, tree) = (
            part(hash.data_partition_guid()),
            part(hash.hash_partition_guid()),
        );
        verify(data, tree, hash).expect("the root is whole");
    }
}

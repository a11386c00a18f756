//! A disk as an updater or an accident leaves it: another version in slot b, an entry's counter, damage.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use disk_format::boot_entry::BootEntry;
use disk_format::esp::Esp;
use disk_format::gpt::{Partition, PartitionTable, SectorSize, partition_type};
use disk_format::meta::{BootRecord, ResetOrder};
use disk_format::verity::{RootHash, verify};
use disk_format::window::Window;
use image_build::output::Manifest;
use rustix::fs::{FallocateFlags, fallocate};
use uuid::Uuid;

const SECTOR_BYTES: u64 = 512;
/// A header, and the usual 128 entries.
const TABLE_SECTORS: u64 = 33;

/// A machine's disk while the machine is off.
pub(crate) struct InstalledDisk {
    file: File,
    length_bytes: u64,
    table: PartitionTable,
}

impl InstalledDisk {
    pub(crate) fn open(path: &Path) -> Self {
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .expect("the disk opens");
        let length_bytes = file.metadata().expect("it is a file").len();
        let table = PartitionTable::read(&mut file, SectorSize::Bytes512).expect("a valid table");
        Self {
            file,
            length_bytes,
            table,
        }
    }

    pub(crate) fn partition(&self, name: &str) -> &Partition {
        self.table
            .by_name(name)
            .unwrap_or_else(|| panic!("no partition {name}"))
            .1
    }

    /// Puts a build into slot b in the order an updater keeps: data, tree, partition GUIDs, entry.
    pub(crate) fn install_in_slot_b(&mut self, manifest: &Manifest) {
        self.copy_into("root-b", &manifest.root);
        self.copy_into("root-b-verity", &manifest.verity);
        let hash: RootHash = manifest.root_hash.parse().expect("a root hash");
        self.tag(
            "root-b",
            partition_type::ROOT_X86_64,
            hash.data_partition_guid(),
        );
        self.tag(
            "root-b-verity",
            partition_type::ROOT_X86_64_VERITY,
            hash.hash_partition_guid(),
        );
        self.table
            .write(&mut self.file, self.length_bytes)
            .expect("the table is written");
        let mut uki = File::open(&manifest.uki).expect("the UKI opens");
        let entry = format!("EFI/Linux/keelson_{}+3.efi", manifest.version);
        self.change_esp(|esp| esp.write_file(&entry, &mut uki).expect("the ESP has room"));
    }

    /// Names of the boot entries.
    pub(crate) fn entries(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.change_esp(|esp| names = esp.list("EFI/Linux").expect("the folder exists"));
        names
    }

    /// Files in the boot loader's folder, by name.
    pub(crate) fn boot_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        self.change_esp(|esp| {
            for name in esp.list("EFI/Linux").expect("the folder exists") {
                let contents = esp.read_file(&format!("EFI/Linux/{name}"));
                files.push((name, contents.unwrap_or_default()));
            }
        });
        files
    }

    /// Gives a version's entry its tries back, whatever its counter says.
    pub(crate) fn count_entry(&self, version: &str) {
        let is_of_version =
            |name: &&String| BootEntry::parse(name).is_some_and(|entry| entry.version == version);
        let names = self.entries();
        let from = names.iter().find(is_of_version).expect("it is installed");
        self.change_esp(|esp| {
            let to = format!("EFI/Linux/keelson_{version}+3.efi");
            esp.rename(&format!("EFI/Linux/{from}"), &to)
                .expect("it has another counter");
        });
    }

    /// Writes into the boot record that a version's last boots have failed.
    pub(crate) fn record_failed_boots(&mut self, manifest: &Manifest, count: u32) {
        let place = self.partition("meta").clone();
        let mut meta = Window::new(&mut self.file, place.start_bytes, place.length_bytes)
            .expect("meta is on the disk");
        let hash: RootHash = manifest.root_hash.parse().expect("a root hash");
        let mut record = BootRecord::read(&mut meta).expect("a boot record").0;
        assert_eq!(
            record.failed_boots(&hash),
            0,
            "a healthy boot clears its count"
        );
        for _ in 0..count {
            record.count_failed_boot(&hash);
        }
        record.write(&mut meta).expect("meta can be written");
    }

    /// Orders a reset at the next boot.
    pub(crate) fn order_reset(&mut self, order: ResetOrder) {
        let place = self.partition("meta").clone();
        let mut meta = Window::new(&mut self.file, place.start_bytes, place.length_bytes)
            .expect("meta is on the disk");
        let mut record = BootRecord::read(&mut meta).expect("a boot record").0;
        record.order_reset(order).expect("a short order");
        record.write(&mut meta).expect("meta can be written");
    }

    /// Overwrites the beginning of a partition.
    pub(crate) fn wipe(&self, name: &str, length_bytes: usize) {
        let start = self.partition(name).start_bytes;
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))
            .expect("the disk is that long");
        file.write_all(&vec![0; length_bytes])
            .expect("the disk can be written");
    }

    /// Loses the table at the disk's start, entries included.
    pub(crate) fn destroy_primary_table(&self) {
        self.overwrite(SECTOR_BYTES, TABLE_SECTORS * SECTOR_BYTES);
    }

    /// Loses the table at the disk's end.
    pub(crate) fn destroy_backup_table(&self) {
        let length = TABLE_SECTORS * SECTOR_BYTES;
        self.overwrite(self.length_bytes - length, length);
    }

    /// Both tables are valid, and the same.
    pub(crate) fn assert_both_tables_valid(&mut self) {
        let is_valid = PartitionTable::backup_is_at_end(
            &mut self.file,
            SectorSize::Bytes512,
            self.length_bytes,
        );
        assert!(
            is_valid.expect("the disk can be read"),
            "a table is missing"
        );
    }

    /// Loses all of a partition.
    pub(crate) fn erase(&self, name: &str) {
        let place = self.partition(name);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, place.start_bytes, place.length_bytes)
            .expect("the file system has holes");
    }

    /// Damages a block in every so many of a slot.
    pub(crate) fn damage(&self, name: &str, every_blocks: u64) {
        let place = self.partition(name);
        for block in
            (0..place.length_bytes / 4096).step_by(usize::try_from(every_blocks).expect("few"))
        {
            self.overwrite(place.start_bytes + block * 4096, 4096);
        }
    }

    /// Checks all of a slot against the root that its partitions are named after.
    pub(crate) fn assert_slot_holds(&self, slot: &str, hash: &RootHash) {
        let (root, tree) = (format!("root-{slot}"), format!("root-{slot}-verity"));
        assert_eq!(self.partition(&root).guid, hash.data_partition_guid());
        assert_eq!(self.partition(&tree).guid, hash.hash_partition_guid());
        let window = |name: &str| {
            let place = self.partition(name);
            let window = Window::new(&self.file, place.start_bytes, place.length_bytes);
            BufReader::with_capacity(1 << 20, window.expect("it is on the disk"))
        };
        verify(window(&root), window(&tree), hash).unwrap_or_else(|e| panic!("slot {slot}: {e}"));
    }

    fn overwrite(&self, offset: u64, length: u64) {
        let zeros = vec![0; usize::try_from(length).expect("short")];
        let written = self.file.write_all_at(&zeros, offset);
        written.expect("the disk can be written");
    }

    /// Flips one bit of the first place in a partition where `needle` stands.
    pub(crate) fn flip_bit(&self, name: &str, image: &Path, needle: &[u8]) -> u64 {
        let contents = std::fs::read(image).expect("the image can be read");
        let offset = contents
            .windows(needle.len())
            .position(|window| window == needle)
            .expect("the image holds it") as u64;
        let place = self.partition(name).start_bytes + offset;
        let mut file = &self.file;
        let mut byte = [0];
        file.seek(SeekFrom::Start(place))
            .expect("the disk is that long");
        file.read_exact(&mut byte).expect("the disk can be read");
        assert_eq!(byte[0], needle[0], "partition {name} holds that image");
        file.seek(SeekFrom::Start(place))
            .expect("the disk is that long");
        file.write_all(&[byte[0] ^ 1])
            .expect("the disk can be written");
        offset / 4096
    }

    fn change_esp(&self, change: impl FnOnce(&mut Esp<Window<&File>>)) {
        let place = self.partition("esp");
        let window = Window::new(&self.file, place.start_bytes, place.length_bytes)
            .expect("the ESP is on the disk");
        let mut esp = Esp::open(window, 0).expect("the ESP is FAT");
        change(&mut esp);
        esp.finish().expect("the ESP is written");
    }

    fn copy_into(&mut self, name: &str, source: &Path) {
        let place = self.partition(name).clone();
        let mut source = File::open(source).expect("the image opens");
        self.file
            .seek(SeekFrom::Start(place.start_bytes))
            .expect("the disk is that long");
        let copied = io::copy(&mut source, &mut self.file).expect("the disk can be written");
        assert!(copied <= place.length_bytes, "{name} is too small");
    }

    fn tag(&mut self, name: &str, type_guid: Uuid, guid: Uuid) {
        let number = self.table.by_name(name).expect("it is there").0;
        let partition = self.table.partitions.get_mut(&number).expect("it is there");
        partition.type_guid = type_guid;
        partition.guid = guid;
    }
}

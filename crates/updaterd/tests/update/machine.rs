//! A machine as a folder: its files, its ESP, and its disk as a sparse file. No test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use disk_format::boot_entry::{BootEntry, Counter};
use disk_format::gpt::{Partition, PartitionTable, SectorSize, partition_type};
use disk_format::verity::verify;
use disk_format::window::Window;
use machine_facts::health_report::HealthReport;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files::read_record;
use slot_install::slots::root_hash_of;
use tempfile::TempDir;
use update_model::record::Record;
use update_model::version::Version;
use updaterd::run::{Goal, Order, OrderedBy, Outcome, run};
use updaterd::watcher::SharedWatcher;
use uuid::Uuid;

use crate::fixture::{Build, Releases};

const ROOT_BYTES: u64 = 2 << 20;
const TREE_BYTES: u64 = 64 << 10;
const ENTRIES: &str = "efi/EFI/Linux";

/// The machine.
pub(crate) struct TestMachine {
    folder: TempDir,
    pub(crate) root: SystemRoot,
}

fn table(build: &Build) -> PartitionTable {
    let hash = build.root_hash;
    let empty = partition_type::KEELSON_EMPTY;
    let mut start_bytes = 1 << 20;
    let mut partitions = BTreeMap::new();
    for (number, (name, type_guid, guid, length_bytes)) in (1..).zip([
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
        let partition = Partition {
            type_guid,
            guid,
            name: name.to_owned(),
            attributes: 0,
            start_bytes,
            length_bytes,
        };
        partitions.insert(number, partition);
        start_bytes += length_bytes;
    }
    PartitionTable {
        disk_guid: Uuid::from_u128(7),
        sector_size: SectorSize::Bytes512,
        partitions,
    }
}

impl TestMachine {
    /// Runs this build from slot a, and trusts these releases.
    pub(crate) fn new(build: &Build, releases: &Releases) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let root = SystemRoot::new(folder.path());
        let machine = Self { folder, root };
        let os_release = "NAME=\"Keelson\"\nID=\"keelson\"\nIMAGE_VERSION=\"1\"\n\
                          BUILD_ID=\"0\"\nVARIANT_ID=\"vm\"\n";
        machine.put("usr/lib/os-release", os_release.as_bytes());
        machine.put("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
        machine.put("etc/keelson/update-root.json", &releases.trusted_root());
        machine.put(
            &format!("{ENTRIES}/keelson_{}.efi", build.version),
            &build.boot_image,
        );
        machine.make_disk(build);
        machine.boot();
        machine
    }

    pub(crate) fn put(&self, path: &str, contents: &[u8]) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("not /")).expect("a folder");
        fs::write(path, contents).expect("written");
    }

    fn disk_path(&self) -> PathBuf {
        self.root.path("/dev/vda")
    }

    fn make_disk(&self, build: &Build) {
        self.put("dev/vda", b"");
        let mut disk = self.open_disk();
        let length = (2 << 20) + 2 * (ROOT_BYTES + TREE_BYTES);
        disk.set_len(length).expect("a sparse file");
        let table = table(build);
        table.write(&mut disk, length).expect("the table fits");
        for (name, contents) in [("root-a", &build.root), ("root-a-verity", &build.tree)] {
            let start = table.by_name(name).expect("it is there").1.start_bytes;
            disk.seek(SeekFrom::Start(start)).expect("a seek");
            disk.write_all(contents).expect("written");
        }
    }

    fn open_disk(&self) -> File {
        let disk = File::options()
            .read(true)
            .write(true)
            .open(self.disk_path());
        disk.expect("the disk")
    }

    /// All of the disk, and every file of the ESP.
    pub(crate) fn contents(&self) -> (Vec<u8>, Vec<String>) {
        let mut disk = Vec::new();
        self.open_disk().read_to_end(&mut disk).expect("read");
        (disk, self.entries())
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.root.list(&format!("/{ENTRIES}")).expect("the ESP")
    }

    /// Boots what the boot loader takes, counts that, and says which version it is.
    pub(crate) fn boot(&self) -> String {
        let (name, entry) = self.next_entry();
        let mut on_trial = false;
        if let Counter::Counted {
            tries_left,
            tries_done,
        } = entry.counter
        {
            on_trial = true;
            let counter = Counter::Counted {
                tries_left: tries_left - 1,
                tries_done: tries_done + 1,
            };
            self.rename(
                &name,
                &BootEntry {
                    counter,
                    ..entry.clone()
                }
                .file_name(),
            );
        }
        self.find_root(&entry, on_trial);
        entry.version
    }

    /// As systemd-boot orders: tries left, then the newest version.
    fn next_entry(&self) -> (String, BootEntry) {
        let mut entries: Vec<_> = self
            .entries()
            .into_iter()
            .filter_map(|name| {
                let entry = BootEntry::parse(&name)?;
                let exhausted = matches!(entry.counter, Counter::Counted { tries_left: 0, .. });
                let version: Version = entry.version.parse().ok()?;
                Some((!exhausted, version, name, entry))
            })
            .collect();
        entries.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let (_, _, name, entry) = entries.pop().expect("something boots");
        (name, entry)
    }

    fn rename(&self, from: &str, to: &str) {
        let folder = self.folder.path().join(ENTRIES);
        if from != to {
            fs::rename(folder.join(from), folder.join(to)).expect("renamed");
        }
    }

    /// What `/init` does: the root is found by its hash, verified, and the facts are left in `/run`.
    fn find_root(&self, entry: &BootEntry, counted: bool) {
        let names = self.entries();
        let of_version =
            |name: &&String| BootEntry::parse(name).is_some_and(|one| one.version == entry.version);
        let name = names.iter().find(of_version).expect("it was renamed");
        let image = fs::read(self.folder.path().join(ENTRIES).join(name)).expect("read");
        let hash = root_hash_of(&image).expect("a kernel image");
        let table = PartitionTable::read(&mut self.open_disk(), SectorSize::Bytes512);
        let table = table.expect("a table");
        let find = |guid: Uuid| {
            let found = table.partitions.values().find(|one| one.guid == guid);
            found.expect("a partition of the root").clone()
        };
        let (data, tree) = (
            find(hash.data_partition_guid()),
            find(hash.hash_partition_guid()),
        );
        let window = |place: &Partition| {
            Window::new(self.open_disk(), place.start_bytes, place.length_bytes).expect("inside")
        };
        verify(window(&data), window(&tree), &hash).expect("the root is whole");
        let slot = data.name.trim_start_matches("root-");
        let _ = fs::remove_dir_all(self.folder.path().join("run"));
        let facts = format!(
            "version = \"{}\"\nroot_hash = \"{hash}\"\nslot = \"{slot}\"\ndisk = \"/dev/vda\"\n\
             root = \"/dev/vda1\"\nverity = true\nboot_path = \"uefi\"\ncounted = {counted}\n\
             first_boot = false\nfailed_boots = 0\n\n[steps_milliseconds]\n",
            entry.version
        );
        self.put("run/keelson/boot.toml", facts.as_bytes());
    }

    /// The version that runs is healthy for its soak time, and systemd blesses it.
    pub(crate) fn become_healthy(&self) {
        let report = HealthReport::Healthy {
            healthy_after_seconds: 9.0,
            notes: Vec::new(),
        };
        report.write(&self.root).expect("written");
        let version = &self.running();
        for name in self.entries() {
            let entry = BootEntry::parse(&name).expect("ours");
            if entry.version == *version {
                self.rename(&name, &format!("keelson_{version}.efi"));
            }
        }
    }

    pub(crate) fn running(&self) -> String {
        let facts = machine_facts::boot_facts::BootFacts::read(&self.root).expect("it was booted");
        facts.version.expect("it has a version")
    }

    pub(crate) fn record(&self) -> Record {
        read_record(&self.root).expect("a record")
    }

    pub(crate) fn update(&self, order: &Order) -> anyhow::Result<Outcome> {
        run(&self.root, order, &SharedWatcher::default())
    }
}

/// As `osctl update --from` orders it.
pub(crate) fn install_from(source: &str) -> Order {
    Order {
        goal: Goal::Install,
        from: Some(source.to_owned()),
        retry: false,
        by: OrderedBy::Hand,
    }
}

pub(crate) fn installed(version: &str) -> Outcome {
    Outcome::Installed(version.parse().expect("a version"))
}

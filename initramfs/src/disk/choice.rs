//! Which of the disks is booted from, decided from what is on them alone.
//!
//! Pure: it is given a list and returns a choice. It does not wait for disks to appear.
//!
//! A partition GUID does not identify a disk by itself: the same image on a USB stick and on the
//! internal disk has the same GUIDs. So a boot loader that says which ESP it came from is
//! believed, and without one a second candidate is an error, not a coin toss.
use std::fmt::Write as _;

use disk_format::gpt::{PartitionTable, partition_type};
use disk_format::verity::RootHash;
use uuid::Uuid;

use crate::disk::block_device::{Contents, Disk};

/// What tells the right disk from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Criterion {
    /// The command line named it, such as `vda`.
    Named(String),
    /// It has the ESP that the boot loader was read from.
    Esp(Uuid),
    /// It is the only one with the root.
    OnlyRoot,
}

/// The disk that is booted from, and its partitions by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootDisk {
    /// The disk.
    pub(crate) disk: Disk,
    /// Its partition table.
    pub(crate) table: PartitionTable,
    /// The root file system.
    pub(crate) root: u32,
    /// The root's hash tree.
    pub(crate) verity: u32,
    /// The EFI system partition.
    pub(crate) esp: Option<u32>,
    /// The boot record.
    pub(crate) meta: Option<u32>,
    /// The writable rest.
    pub(crate) state: Option<u32>,
}

/// Why no disk was chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoDisk {
    /// None fits; another may still appear.
    #[error("no disk here holds the root with hash {root_hash}; {seen}")]
    NotYet {
        /// What was looked for.
        root_hash: RootHash,
        /// Every disk and why it is not the one.
        seen: String,
    },
    /// More than one fits.
    #[error(
        "{disks} all hold the root with hash {root_hash}; \
         remove all but one, or name one with keelson.disk= on the kernel command line"
    )]
    Ambiguous {
        /// What was looked for.
        root_hash: RootHash,
        /// The candidates' device nodes.
        disks: String,
    },
}

/// Chooses the one disk that fits.
pub(crate) fn choose(
    disks: &[Disk],
    criterion: &Criterion,
    root_hash: &RootHash,
) -> Result<BootDisk, NoDisk> {
    let mut chosen = Vec::new();
    let mut seen = String::new();
    for disk in disks {
        match examine(disk, criterion, root_hash) {
            Ok(boot_disk) => chosen.push(boot_disk),
            // Writing to a String cannot fail.
            Err(reason) => drop(write!(seen, "{}: {reason}; ", disk.path())),
        }
    }
    let root_hash = *root_hash;
    match chosen.len() {
        1 => Ok(chosen.remove(0)),
        0 if seen.is_empty() => Err(NoDisk::NotYet {
            root_hash,
            seen: "there are no disks".to_owned(),
        }),
        0 => Err(NoDisk::NotYet {
            root_hash,
            seen: seen.trim_end_matches("; ").to_owned(),
        }),
        _ => {
            let paths: Vec<String> = chosen.iter().map(|chosen| chosen.disk.path()).collect();
            Err(NoDisk::Ambiguous {
                root_hash,
                disks: paths.join(" and "),
            })
        }
    }
}

/// Checks one disk; the error says why it is not the one.
fn examine(disk: &Disk, criterion: &Criterion, root_hash: &RootHash) -> Result<BootDisk, String> {
    if matches!(criterion, Criterion::Named(name) if *name != disk.name) {
        return Err("is not the one keelson.disk= names".to_owned());
    }
    let table = match &disk.contents {
        Contents::Partitioned(table) => table,
        Contents::Unreadable(reason) => return Err(format!("no partition table ({reason})")),
    };
    let esp = find_esp(table, criterion)?;
    let root_guid = root_hash.data_partition_guid();
    let root = by_guid(table, root_guid).ok_or_else(|| format!("no root partition {root_guid}"))?;
    let verity_guid = root_hash.hash_partition_guid();
    let verity =
        by_guid(table, verity_guid).ok_or_else(|| format!("no verity partition {verity_guid}"))?;
    Ok(BootDisk {
        disk: disk.clone(),
        table: table.clone(),
        root,
        verity,
        esp,
        meta: by_name(table, "meta"),
        state: by_name(table, "state"),
    })
}

fn find_esp(table: &PartitionTable, criterion: &Criterion) -> Result<Option<u32>, String> {
    match criterion {
        Criterion::Esp(guid) => match by_guid(table, *guid) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("not the disk of the boot loader's ESP {guid}")),
        },
        Criterion::Named(_) | Criterion::OnlyRoot => {
            let esp = |(_, partition): &(&u32, &disk_format::gpt::Partition)| {
                partition.type_guid == partition_type::ESP
            };
            Ok(table.partitions.iter().find(esp).map(|(number, _)| *number))
        }
    }
}

fn by_guid(table: &PartitionTable, guid: Uuid) -> Option<u32> {
    table
        .partitions
        .iter()
        .find(|(_, partition)| partition.guid == guid)
        .map(|(number, _)| *number)
}

fn by_name(table: &PartitionTable, name: &str) -> Option<u32> {
    table.by_name(name).map(|(number, _)| number)
}

impl BootDisk {
    /// A partition's device node.
    pub(crate) fn path(&self, number: u32) -> String {
        self.disk.partition_path(number)
    }

    /// Every partition that is used, for the check that the kernel knows them.
    pub(crate) fn used_partitions(&self) -> impl Iterator<Item = u32> {
        [
            Some(self.root),
            Some(self.verity),
            self.esp,
            self.meta,
            self.state,
        ]
        .into_iter()
        .flatten()
    }

    /// The root's slot by its partition's name: `a` for `root-a`, and else the whole name.
    pub(crate) fn slot(&self) -> &str {
        let name = self
            .table
            .partitions
            .get(&self.root)
            .map_or("", |partition| &partition.name);
        name.strip_prefix("root-").unwrap_or(name)
    }
}

#[cfg(test)]
mod tests;

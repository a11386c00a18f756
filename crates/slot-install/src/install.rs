//! The steps of an installation, each durable when it returns.
//!
//! Every step may be done again after whatever interrupted it. Does not read what it writes back: dm-verity
//! checks the root at every read, and the boot loader falls back.

use std::io::{Seek as _, SeekFrom, Write as _};

use disk_format::boot_entry::{BootEntry, Counter};
use disk_format::disk::Disk;
use disk_format::gpt::partition_type;
use disk_format::verity::RootHash;
use disk_format::window::Window;
use update_model::progress::Step;
use update_model::version::Version;
use uuid::Uuid;

use crate::boot_folder::BootFolder;
use crate::error::{InstallError, Result};
use crate::slots::{INCOMPLETE, Slots, root_name, tree_name};

/// Boots a new version gets before the boot loader falls back to the other slot.
pub const BOOT_TRIES: u32 = 3;

/// What makes a filled slot bootable.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Its version.
    pub version: &'a Version,
    /// What its root is verified by.
    pub root_hash: RootHash,
    /// The unified kernel image.
    pub boot_image: &'a [u8],
}

/// Called when a step is durable.
pub type Done<'a> = &'a mut dyn FnMut(Step) -> Result<()>;

impl<D: Disk, B: BootFolder> Slots<D, B> {
    /// Writes root and tree into the idle slot, which nothing boots from then on: not a release yet.
    ///
    /// `write_root` gets the root's partition and writes and syncs all of the root.
    pub fn fill<E>(
        &mut self,
        tree: &[u8],
        write_root: impl FnOnce(Window<&mut D>) -> std::result::Result<(), E>,
        done: Done<'_>,
    ) -> Result<()>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.remove_old_boot_entries()?;
        done(Step::RemoveOldBootEntry)?;
        self.empty_idle_slot()?;
        done(Step::EmptySlot)?;
        let partition = self.root(self.idle())?;
        write_root(partition).map_err(|error| InstallError::Root(error.into()))?;
        done(Step::WriteRoot)?;
        self.write_tree(tree)?;
        done(Step::WriteTree)
    }

    /// Makes a slot that was filled what the boot loader tries next.
    pub fn offer(&mut self, parts: &Parts<'_>, done: Done<'_>) -> Result<()> {
        self.name_idle_slot(&parts.root_hash)?;
        done(Step::NameInBackupTable)?;
        done(Step::NameInPrimaryTable)?;
        let entry = entry(parts.version)?;
        let incomplete = format!("{entry}{INCOMPLETE}");
        let written = self.boot.write(&incomplete, parts.boot_image);
        written.map_err(InstallError::boot("write", &incomplete))?;
        done(Step::WriteBootImage)?;
        let renamed = self.boot.rename(&incomplete, &entry);
        renamed.map_err(InstallError::boot("rename to", &entry))?;
        done(Step::RenameBootImage)
    }

    /// Removes the boot entries of the slot that does not run: what runs boots next, and nothing comes after it
    /// should that fail. For what was installed and shall not be booted.
    pub fn withdraw(&mut self) -> Result<()> {
        self.remove_old_boot_entries()
    }

    fn remove_old_boot_entries(&mut self) -> Result<()> {
        for name in self.removable()? {
            let removed = self.boot.remove(&name);
            removed.map_err(InstallError::boot("remove", &name))?;
        }
        Ok(())
    }

    fn empty_idle_slot(&mut self) -> Result<()> {
        // Unlike every root's, and the same whenever this is done again.
        let disk = self.table.disk_guid.as_u128();
        let guid = |number: u32| Uuid::from_u128(disk.rotate_left(64) ^ u128::from(number));
        let empty = partition_type::KEELSON_EMPTY;
        self.tag(root_name(self.idle()), empty, guid)?;
        self.tag(tree_name(self.idle()), empty, guid)?;
        self.write_table()
    }

    fn write_tree(&mut self, tree: &[u8]) -> Result<()> {
        let name = tree_name(self.idle());
        let mut partition = self.window(name)?;
        partition
            .seek(SeekFrom::Start(0))
            .and_then(|_| partition.write_all(tree))
            .and_then(|()| partition.sync())
            .map_err(|source| InstallError::Partition {
                partition: name.to_owned(),
                source,
            })
    }

    /// In the backup table, and when that is durable in the primary one.
    fn name_idle_slot(&mut self, root_hash: &RootHash) -> Result<()> {
        let (root, tree) = (root_name(self.idle()), tree_name(self.idle()));
        let (data, hash) = (
            root_hash.data_partition_guid(),
            root_hash.hash_partition_guid(),
        );
        self.tag(root, partition_type::ROOT_X86_64, |_| data)?;
        self.tag(tree, partition_type::ROOT_X86_64_VERITY, |_| hash)?;
        self.write_table()
    }

    fn tag(&mut self, name: &str, type_guid: Uuid, guid: impl Fn(u32) -> Uuid) -> Result<()> {
        let missing = || InstallError::NoPartition(name.to_owned());
        let number = self.table.by_name(name).ok_or_else(missing)?.0;
        let partition = self.table.partitions.get_mut(&number).ok_or_else(missing)?;
        partition.type_guid = type_guid;
        partition.guid = guid(number);
        Ok(())
    }

    fn write_table(&mut self) -> Result<()> {
        let written = self.table.write(&mut self.disk, self.length_bytes);
        written.map_err(|source| InstallError::Table {
            action: "write",
            source,
        })
    }
}

/// The file name of a version that has all its tries.
pub(crate) fn entry(version: &Version) -> Result<String> {
    let counter = Counter::Counted {
        tries_left: BOOT_TRIES,
        tries_done: 0,
    };
    let entry = BootEntry::new(version.as_str(), counter);
    entry
        .map(|entry| entry.file_name())
        .map_err(|error| InstallError::Version(error.0))
}

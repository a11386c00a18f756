//! The state partition: made at the first boot, checked when it needs it, grown with the disk,
//! mounted. On which disk it is, is decided in [`crate::state::elsewhere`].
//!
//! It never makes a file system over data that is not its own unfinished work: [`decide`] is
//! pure and tested for that. What is inside the file system is arranged in
//! [`crate::state::folders`] and [`crate::state::etc_layers`].
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use disk_format::gpt::{Disk as _, GptError, PartitionTable};
use disk_format::meta::{BootRecord, ResetOrder};
use disk_format::state_disk::{Encryption, Site};
use luks_format::PAYLOAD_OFFSET_BYTES;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::boot_loader::record::{self, RecordError};
use crate::disk::block_device;
use crate::disk::choice::BootDisk;
use crate::disk::other::OtherPartition;
use crate::report::console;
use crate::report::error::{ActionFailed, Context, chain};
use crate::state::elsewhere::{self, ElsewhereError, Machine, Settled};
use crate::state::ext4_superblock::{self, Ext4Superblock, Found};
use crate::state::ext4_tools::{self, Ext4ToolsError, Former};
use crate::state::marker::{self, Owner};
use crate::state::random;
use crate::state::recovery_key;
use crate::state::reset;
use crate::state::table::{self, NewIdentifiers};
use crate::state::vault::{self, Made, VaultError};
use crate::system_calls;

/// Where the state file system is mounted, below the root.
pub(crate) const STATE: &str = "/sysroot/state";

/// Enough to see any other file system's superblock.
pub(super) const HEAD_LENGTH: usize = 1 << 20;

/// Whether this machine has been booted before, as far as its state knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// State was made or reset in this boot.
    FirstBoot,
    /// State is from an earlier one.
    BootedBefore,
}

/// State that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// Whether it is from an earlier boot.
    pub(crate) history: History,
    /// The device with the file system; `None` if it is in memory, for this boot alone.
    pub(crate) device: Option<String>,
}

/// What to do with the partition before it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Make the file system.
    Make,
    /// It is in order.
    Mount(Ext4Superblock),
    /// Let e2fsck look first.
    CheckAndMount(Ext4Superblock),
    /// It holds something else, and it is not known whose.
    Refuse,
}

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// A system call failed.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// The partition does not exist.
    #[error("{disk} has no partition named \"state\"")]
    NoPartition {
        /// The disk's device node.
        disk: String,
    },
    /// The partition table could not be changed.
    #[error("cannot change the partition table of {disk}")]
    Table {
        /// The disk's device node.
        disk: String,
        #[source]
        source: GptError,
    },
    /// The file system could not be made or repaired.
    #[error(transparent)]
    Ext4(#[from] Ext4ToolsError),
    /// The reset is done, and would be repeated at the next boot.
    #[error("cannot forget that a reset was ordered")]
    Order(#[from] RecordError),
    /// The partition holds something, and no superblock of ext4.
    #[error(
        "the state partition {path} holds something that is not ext4; if it is damaged state, \
         repair it elsewhere with `e2fsck -b 32768`; if it is other data, save what is needed, \
         then zero the first MiB to have it made anew"
    )]
    NotExt4 {
        /// The partition.
        path: String,
    },
    /// It is on another disk, or shall be.
    #[error(transparent)]
    Elsewhere(#[from] ElsewhereError),
    /// It is encrypted, and cannot be opened or made.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// There is somebody else's data.
    #[error(
        "the state partition {path} holds files that Keelson did not make; \
         save what is needed, then zero its first MiB to have it made anew"
    )]
    Foreign {
        /// The partition.
        path: String,
    },
}

/// Decides from the partition's first bytes and the mark in the partition table.
fn decide(found: Found, being_made: bool) -> Decision {
    match found {
        Found::Blank => Decision::Make,
        Found::Ext4(superblock) if superblock.needs_check => Decision::CheckAndMount(superblock),
        Found::Ext4(superblock) => Decision::Mount(superblock),
        Found::Other if being_made => Decision::Make,
        // Not even a look by e2fsck: an old backup superblock may lie between somebody's data.
        Found::Other => Decision::Refuse,
    }
}

/// The boot disk's partition and the table it stands in; and the file system, which may be on another disk. The mark that
/// it is being made stands in the boot disk's table in any case.
pub(super) struct State<'a> {
    boot_disk: &'a BootDisk,
    table: PartitionTable,
    number: u32,
    other: Option<OtherPartition>,
    /// Whether it shall be encrypted.
    encryption: Encryption,
    /// The encrypted volume, once it is open.
    opened: Option<String>,
    /// The volume's second key, in the boot that makes it.
    recovery_key: Option<String>,
}

/// Makes state usable and mounts it at [`STATE`]; does what was ordered before anything uses it. The order
/// is forgotten last: until then every boot begins with it again.
pub(crate) fn prepare(
    machine: &mut Machine<'_>,
    order: Option<&ResetOrder>,
) -> Result<Prepared, StateError> {
    let boot_disk = machine.boot_disk;
    let settled = elsewhere::settle(find(boot_disk)?, machine, order)?;
    let (device, history) = match settled {
        Settled::InMemory => return in_memory(),
        Settled::Unmade(state) => (state.path(), state.fill(Former::Discarded)?),
        Settled::On(mut state) => {
            state.unlock(order)?;
            (state.path(), state.obey(order)?)
        }
    };
    if order.is_some() {
        record::change(boot_disk, BootRecord::forget_reset)?;
    }
    reset::remove_remains(Path::new(STATE));
    Ok(Prepared {
        history,
        device: Some(device),
    })
}

/// For a boot that stops before anything of the user's: the next one looks again where state shall be.
fn in_memory() -> Result<Prepared, StateError> {
    mount("tmpfs", STATE, "tmpfs", MountFlags::NOSUID, c"mode=0755")
        .context(|| format!("mount tmpfs on {STATE}"))?;
    Ok(Prepared {
        history: History::FirstBoot,
        device: None,
    })
}

fn find(boot_disk: &BootDisk) -> Result<State<'_>, StateError> {
    let disk = boot_disk.disk.path();
    let number = boot_disk.state.ok_or(StateError::NoPartition { disk })?;
    Ok(State {
        boot_disk,
        table: boot_disk.table.clone(),
        number,
        other: None,
        encryption: Encryption::None,
        opened: None,
        recovery_key: None,
    })
}

/// The first bytes of a device.
pub(super) fn head(path: &str) -> Result<Vec<u8>, ActionFailed> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|device| device.take(HEAD_LENGTH as u64).read_to_end(&mut head))
        .context(|| format!("read {path}"))?;
    Ok(head)
}

impl<'a> State<'a> {
    /// The same with its file system on another disk.
    pub(super) fn moved_to(self, other: OtherPartition, encryption: Encryption) -> State<'a> {
        State {
            other: Some(other),
            encryption,
            ..self
        }
    }

    /// The same in a volume that was made.
    pub(super) fn within(self, made: Made) -> State<'a> {
        State {
            opened: Some(made.opened),
            recovery_key: made.recovery_key,
            ..self
        }
    }
}

impl State<'_> {
    /// The device with the file system.
    pub(super) fn path(&self) -> String {
        self.opened.clone().unwrap_or_else(|| self.device())
    }

    /// The partition.
    fn device(&self) -> String {
        let other = self.other.as_ref().map(OtherPartition::path);
        other.unwrap_or_else(|| self.own_path())
    }

    /// The boot disk's own partition.
    pub(super) fn own_path(&self) -> String {
        self.boot_disk.path(self.number)
    }

    /// Whether the file system was begun and not finished.
    pub(super) fn is_being_made(&self) -> bool {
        table::is_being_made(&self.table, self.number)
    }

    /// Opens the volume, if there is one; makes one again where that is allowed.
    fn unlock(&mut self, order: Option<&ResetOrder>) -> Result<(), StateError> {
        let device = self.device();
        let is_volume = luks_format::is_luks(&head(&device)?);
        let is_free = self.is_being_made() || order == Some(&ResetOrder::Erase);
        let may_be_made = self.encryption == Encryption::Tpm2 && is_free;
        if !is_volume && !may_be_made {
            return Ok(());
        }
        if is_volume {
            self.follow_disks()?;
        }
        let opened = match vault::open(&device) {
            Err(error) if is_free => {
                console::warning(&format!("making it anew: {}", chain(&error)));
                vault::make(&device, false)?.opened
            }
            opened => opened?,
        };
        self.opened = Some(opened);
        self.encryption = Encryption::Tpm2;
        if self.other.is_none() {
            let (name, encryption) = (None, Encryption::Tpm2);
            elsewhere::say_place(&Site { name, encryption })?;
        }
        Ok(())
    }

    fn follow_disks(&mut self) -> Result<(), StateError> {
        self.follow_disk()?;
        if let Some(other) = &mut self.other {
            elsewhere::follow_disk(other)?;
        }
        Ok(())
    }

    fn obey(self, order: Option<&ResetOrder>) -> Result<History, StateError> {
        match order {
            None => self.prepare(),
            Some(ResetOrder::Erase) => self.make_again(),
            Some(ResetOrder::Clear(kept)) => {
                console::notice("resetting state");
                self.prepare()?;
                reset::clear(Path::new(STATE), kept)?;
                Ok(History::FirstBoot)
            }
        }
    }

    fn prepare(mut self) -> Result<History, StateError> {
        let (path, being_made) = (self.path(), self.is_being_made());
        let superblock = match decide(ext4_superblock::recognise(&head(&path)?), being_made) {
            Decision::Make => return self.make(),
            Decision::Refuse => return Err(StateError::NotExt4 { path }),
            Decision::Mount(superblock) => superblock,
            Decision::CheckAndMount(superblock) => {
                ext4_tools::check(&path)?;
                superblock
            }
        };
        self.follow_disks()?;
        self.mount_or_check()?;
        match marker::owner(STATE)? {
            Owner::Keelson => self.use_existing(superblock, being_made),
            Owner::Nobody => {
                unmount(STATE, UnmountFlags::empty()).context(|| format!("unmount {STATE}"))?;
                self.make()
            }
            Owner::Foreign => Err(StateError::Foreign { path }),
        }
    }

    fn make(mut self) -> Result<History, StateError> {
        console::info(&format!(
            "first boot: making a file system on {}",
            self.path()
        ));
        self.begin_making()?;
        self.fill(Former::Blank)
    }

    /// Marks it so, and gives the boot disk identifiers of its own.
    pub(super) fn begin_making(&mut self) -> Result<(), StateError> {
        let new = self.new_identifiers()?;
        let length_bytes = self.boot_disk.disk.length_bytes;
        let table = table::begin_making(self.table.clone(), self.number, length_bytes, &new)
            .map_err(|source| self.table_error(source))?;
        self.write_table(table)
    }

    /// Whatever is there, sound or not: so it was ordered.
    fn make_again(mut self) -> Result<History, StateError> {
        console::notice(&format!(
            "resetting state: making a new file system on {}",
            self.path()
        ));
        self.begin_making_again()?;
        self.fill(Former::Discarded)
    }

    /// Marks it so; nothing gets another identifier.
    pub(super) fn begin_making_again(&mut self) -> Result<(), StateError> {
        let length_bytes = self.boot_disk.disk.length_bytes;
        let table = table::begin_making_again(self.table.clone(), self.number, length_bytes)
            .map_err(|source| self.table_error(source))?;
        self.write_table(table)
    }

    fn fill(mut self, former: Former) -> Result<History, StateError> {
        ext4_tools::make(&self.path(), former)?;
        self.mount()?;
        marker::put(STATE)?;
        if let Some(key) = &self.recovery_key {
            recovery_key::put(Path::new(STATE), key)?;
        }
        self.finish_making()?;
        Ok(History::FirstBoot)
    }

    fn new_identifiers(&self) -> Result<NewIdentifiers, ActionFailed> {
        let numbers = [self.boot_disk.esp, self.boot_disk.meta, Some(self.number)];
        let mut partitions = Vec::new();
        for number in numbers.into_iter().flatten() {
            partitions.push((number, random::uuid()?));
        }
        Ok(NewIdentifiers {
            disk: random::uuid()?,
            partitions,
        })
    }

    /// Only once the file system is marked as ours does the mark in the table go.
    fn finish_making(&mut self) -> Result<(), StateError> {
        self.write_table(table::finish_making(self.table.clone(), self.number))
    }

    fn use_existing(
        mut self,
        superblock: Ext4Superblock,
        being_made: bool,
    ) -> Result<History, StateError> {
        self.grow_file_system(superblock);
        if being_made {
            // The power failed in the first boot after the marker was written.
            self.finish_making()?;
            return Ok(History::FirstBoot);
        }
        Ok(History::BootedBefore)
    }

    fn mount(&self) -> Result<(), ActionFailed> {
        let path = self.path();
        let options = c"errors=remount-ro";
        mount(&path, STATE, "ext4", MountFlags::NOATIME, options)
            .context(|| format!("mount {path} as ext4 on {STATE}"))
    }

    /// A mount that fails gets one repair: damage does not always show in the superblock.
    fn mount_or_check(&self) -> Result<(), StateError> {
        match self.mount() {
            Ok(()) => Ok(()),
            Err(error) => {
                console::warning(&chain(&error));
                ext4_tools::check(&self.path())?;
                Ok(self.mount()?)
            }
        }
    }

    /// After the disk has grown, or lost one of its tables: puts the table right.
    fn follow_disk(&mut self) -> Result<(), StateError> {
        let length_bytes = self.boot_disk.disk.length_bytes;
        let mut table = self.table.clone();
        let grown = table
            .grow_last(length_bytes)
            .map_err(|e| self.table_error(e))?;
        if grown || !self.backup_is_at_end()? {
            console::info(&format!(
                "writing the partition table of {}",
                self.boot_disk.disk.path()
            ));
            self.write_table(table)?;
        }
        Ok(())
    }

    fn backup_is_at_end(&self) -> Result<bool, StateError> {
        let path = self.boot_disk.disk.path();
        let mut device = File::open(&path).context(|| format!("open {path}"))?;
        let length_bytes = self.boot_disk.disk.length_bytes;
        PartitionTable::backup_is_at_end(&mut device, self.table.sector_size, length_bytes)
            .map_err(|source| self.table_error(source))
    }

    /// Writes the table durably and tells the kernel how long the state partition is now.
    fn write_table(&mut self, table: PartitionTable) -> Result<(), StateError> {
        let path = self.boot_disk.disk.path();
        let mut device = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .context(|| format!("open {path}"))?;
        table
            .write(&mut device, self.boot_disk.disk.length_bytes)
            .map_err(|source| self.table_error(source))?;
        device.sync().context(|| format!("sync {path}"))?;
        self.tell_kernel(&device, &table)?;
        self.table = table;
        Ok(())
    }

    fn tell_kernel(&self, device: &File, table: &PartitionTable) -> Result<(), ActionFailed> {
        let length =
            |table: &PartitionTable| table.partitions.get(&self.number).map(|p| p.length_bytes);
        match table.partitions.get(&self.number) {
            Some(state) if length(&self.table) != Some(state.length_bytes) => {
                let (start, length) = (state.start_bytes, state.length_bytes);
                let path = self.own_path();
                block_device::resize_partition(device, &path, self.number, start, length)
            }
            _ => Ok(()),
        }
    }

    /// A file system that stays small is worth a warning, not a reboot.
    fn grow_file_system(&self, superblock: Ext4Superblock) {
        let entry = match &self.other {
            Some(other) => other.entry(),
            None => self.table.partitions.get(&self.number),
        };
        let head_bytes = match self.opened {
            Some(_) => PAYLOAD_OFFSET_BYTES,
            None => 0,
        };
        let partition_bytes = entry.map_or(0, |partition| partition.length_bytes);
        let partition_bytes = partition_bytes.saturating_sub(head_bytes);
        let path = self.path();
        let blocks = partition_bytes / superblock.block_bytes;
        if blocks <= superblock.length_bytes / superblock.block_bytes {
            return;
        }
        let grown = File::open(STATE)
            .and_then(|root| system_calls::grow_ext4(&root, blocks).map_err(io::Error::from))
            .context(|| format!("grow the file system on {path} to {blocks} blocks"));
        match grown {
            Ok(()) => console::info(&format!(
                "grew the file system on {path} to {blocks} blocks"
            )),
            Err(error) => console::warning(&chain(&error)),
        }
    }

    fn table_error(&self, source: GptError) -> StateError {
        StateError::Table {
            disk: self.boot_disk.disk.path(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(needs_check: bool) -> Ext4Superblock {
        Ext4Superblock {
            length_bytes: 4096,
            block_bytes: 4096,
            needs_check,
        }
    }

    #[test]
    fn only_nothing_or_own_unfinished_work_is_overwritten() {
        assert_eq!(decide(Found::Blank, false), Decision::Make);
        assert_eq!(decide(Found::Blank, true), Decision::Make);
        assert_eq!(decide(Found::Other, true), Decision::Make);
        assert_eq!(decide(Found::Other, false), Decision::Refuse);
    }

    #[test]
    fn a_file_system_is_mounted_or_checked_never_remade_unseen() {
        let (clean, dirty) = (superblock(false), superblock(true));
        for being_made in [false, true] {
            assert_eq!(
                decide(Found::Ext4(clean), being_made),
                Decision::Mount(clean)
            );
            assert_eq!(
                decide(Found::Ext4(dirty), being_made),
                Decision::CheckAndMount(dirty)
            );
        }
    }
}

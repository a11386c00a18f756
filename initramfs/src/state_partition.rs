//! The state partition: made at the first boot, checked when it needs it, grown with the disk,
//! mounted.
//!
//! It never makes a file system over data that is not its own unfinished work: [`decide`] is
//! pure and tested for that. What is inside the file system is arranged in
//! [`crate::state_folders`] and [`crate::etc_layers`].
use std::fs::File;
use std::io::{self, Read as _};

use disk_format::gpt::{Disk as _, GptError, PartitionTable};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::block_device;
use crate::console;
use crate::disk_choice::BootDisk;
use crate::error::{ActionFailed, Context, chain};
use crate::ext4_superblock::{self, Ext4Superblock, Found};
use crate::random;
use crate::root_tools::{self, Finished};
use crate::state_marker::{self, Owner};
use crate::state_table::{self, NewIdentifiers};
use crate::system_calls;

/// Where the state file system is mounted, below the root.
pub(crate) const STATE: &str = "/sysroot/state";

/// Enough to see any other file system's superblock.
const HEAD_LENGTH: usize = 1 << 20;
const MKFS: &str = "/usr/sbin/mkfs.ext4";
const FSCK: &str = "/usr/sbin/e2fsck";

/// Whether this machine has been booted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum History {
    /// State was made in this boot.
    FirstBoot,
    /// State is from an earlier one.
    BootedBefore,
}

/// What to do with the partition before it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Make the file system.
    Make,
    /// It is in order.
    Mount,
    /// Let e2fsck look first; if it cannot make sense of the contents, they are not ours.
    Check,
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
    /// mkfs or fsck failed.
    #[error("{program} on {path} ended with {status}: {output}")]
    Program {
        /// Its path in the root.
        program: &'static str,
        /// The partition.
        path: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// e2fsck asks for a reboot (exit code 2).
    #[error("e2fsck repaired {path} and asks for a reboot: {output}")]
    RebootWanted {
        /// The partition.
        path: String,
        /// What it printed.
        output: String,
    },
    /// There is somebody else's data.
    #[error(
        "the state partition {path} holds data that Keelson did not make; \
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
        Found::Other if being_made => Decision::Make,
        Found::Ext4(superblock) if !superblock.needs_check => Decision::Mount,
        Found::Ext4(_) | Found::Other => Decision::Check,
    }
}

/// The partition and the table it stands in.
struct State<'a> {
    boot_disk: &'a BootDisk,
    table: PartitionTable,
    number: u32,
    path: String,
}

/// Makes state usable and mounts it at [`STATE`].
pub(crate) fn prepare(boot_disk: &BootDisk) -> Result<History, StateError> {
    let disk = boot_disk.disk.path();
    let number = boot_disk.state.ok_or(StateError::NoPartition { disk })?;
    let path = boot_disk.path(number);
    State {
        boot_disk,
        table: boot_disk.table.clone(),
        number,
        path,
    }
    .prepare()
}

impl State<'_> {
    fn prepare(mut self) -> Result<History, StateError> {
        let being_made = state_table::is_being_made(&self.table, self.number);
        let found = self.look()?;
        match decide(found, being_made) {
            Decision::Make => return self.make(),
            Decision::Mount => {}
            Decision::Check => self.check(found)?,
        }
        self.follow_disk()?;
        self.mount_or_check(found)?;
        match state_marker::owner(STATE)? {
            Owner::Keelson => self.use_existing(found, being_made),
            Owner::Nobody => {
                unmount(STATE, UnmountFlags::empty()).context(|| format!("unmount {STATE}"))?;
                self.make()
            }
            Owner::Foreign => Err(StateError::Foreign { path: self.path }),
        }
    }

    fn look(&self) -> Result<Found, StateError> {
        let mut head = Vec::new();
        File::open(&self.path)
            .and_then(|device| device.take(HEAD_LENGTH as u64).read_to_end(&mut head))
            .context(|| format!("read {}", self.path))?;
        Ok(ext4_superblock::recognise(&head))
    }

    fn make(mut self) -> Result<History, StateError> {
        console::info(&format!(
            "first boot: making a file system on {}",
            self.path
        ));
        let new = self.new_identifiers()?;
        let length_bytes = self.boot_disk.disk.length_bytes;
        let table = state_table::begin_making(self.table.clone(), self.number, length_bytes, &new)
            .map_err(|source| self.table_error(source))?;
        self.write_table(table)?;
        self.make_file_system()?;
        self.mount()?;
        state_marker::put(STATE)?;
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

    fn make_file_system(&self) -> Result<(), StateError> {
        let uuid = random::uuid()?.to_string();
        // -b: a small partition would get 1 KiB blocks for ever, which 4Kn disks refuse.
        // nodiscard: the partition is blank, and discarding terabytes takes long.
        let extended = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
        let arguments = [
            "-q",
            "-F",
            "-L",
            "state",
            "-U",
            &uuid,
            "-b",
            "4096",
            "-I",
            "256",
            "-m",
            "0",
            "-O",
            "metadata_csum,64bit",
            "-E",
            extended,
            &self.path,
        ];
        let finished = root_tools::run(MKFS, &arguments)?;
        match finished.code {
            Some(0) => Ok(()),
            _ => Err(self.program_failed(MKFS, finished)),
        }
    }

    /// Only once the file system is marked as ours does the mark in the table go.
    fn finish_making(&mut self) -> Result<(), StateError> {
        self.write_table(state_table::finish_making(self.table.clone(), self.number))
    }

    fn use_existing(mut self, found: Found, being_made: bool) -> Result<History, StateError> {
        if let Found::Ext4(superblock) = found {
            self.grow_file_system(superblock);
        }
        if being_made {
            // The power failed in the first boot after the marker was written.
            self.finish_making()?;
            return Ok(History::FirstBoot);
        }
        Ok(History::BootedBefore)
    }

    fn check(&self, found: Found) -> Result<(), StateError> {
        console::warning(&format!("checking the file system on {}", self.path));
        let finished = root_tools::run(FSCK, &["-p", &self.path])?;
        if !finished.output.is_empty() {
            console::warning(&finished.output);
        }
        let path = self.path.clone();
        match finished.code {
            Some(0 | 1) => Ok(()),
            Some(2 | 3) => Err(StateError::RebootWanted {
                path,
                output: finished.output,
            }),
            _ if found == Found::Other => Err(StateError::Foreign { path }),
            _ => Err(self.program_failed(FSCK, finished)),
        }
    }

    fn program_failed(&self, program: &'static str, finished: Finished) -> StateError {
        let Finished { status, output, .. } = finished;
        StateError::Program {
            program,
            path: self.path.clone(),
            status,
            output,
        }
    }

    fn mount(&self) -> Result<(), ActionFailed> {
        mount(
            &self.path,
            STATE,
            "ext4",
            MountFlags::NOATIME,
            c"errors=remount-ro",
        )
        .context(|| format!("mount {} as ext4 on {STATE}", self.path))
    }

    /// A mount that fails gets one repair: damage does not always show in the superblock.
    fn mount_or_check(&self, found: Found) -> Result<(), StateError> {
        match self.mount() {
            Ok(()) => Ok(()),
            Err(error) => {
                console::warning(&chain(&error));
                self.check(found)?;
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
                block_device::resize_partition(device, &self.path, self.number, start, length)
            }
            _ => Ok(()),
        }
    }

    /// A file system that stays small is worth a warning, not a reboot.
    fn grow_file_system(&self, superblock: Ext4Superblock) {
        let partition_bytes = self
            .table
            .partitions
            .get(&self.number)
            .map_or(0, |p| p.length_bytes);
        let blocks = partition_bytes / superblock.block_bytes;
        if blocks <= superblock.length_bytes / superblock.block_bytes {
            return;
        }
        let grown = File::open(STATE)
            .and_then(|root| system_calls::grow_ext4(&root, blocks).map_err(io::Error::from))
            .context(|| format!("grow the file system on {} to {blocks} blocks", self.path));
        match grown {
            Ok(()) => console::info(&format!(
                "grew the file system on {} to {blocks} blocks",
                self.path
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

    fn ext4(needs_check: bool) -> Found {
        Found::Ext4(Ext4Superblock {
            length_bytes: 4096,
            block_bytes: 4096,
            needs_check,
        })
    }

    #[test]
    fn only_nothing_or_own_unfinished_work_is_overwritten() {
        assert_eq!(decide(Found::Blank, false), Decision::Make);
        assert_eq!(decide(Found::Blank, true), Decision::Make);
        assert_eq!(decide(Found::Other, true), Decision::Make);
        assert_eq!(decide(Found::Other, false), Decision::Check);
    }

    #[test]
    fn a_file_system_is_mounted_or_checked_never_remade_unseen() {
        for being_made in [false, true] {
            assert_eq!(decide(ext4(false), being_made), Decision::Mount);
            assert_eq!(decide(ext4(true), being_made), Decision::Check);
        }
    }
}

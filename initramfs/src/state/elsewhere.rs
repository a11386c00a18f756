//! State on another disk than the one that is booted from: decided at the first boot, by the configuration, and written down
//! in the boot disk's own state partition; from then on that disk is waited for, and no other state is made.
//!
//! What holds something is taken only if the configuration says that it goes. Whether the file system on it is made,
//! checked or refused is decided in [`crate::state::partition`], as for the boot disk's own.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use disk_format::gpt::{Disk as _, GptError, Partition, PartitionTable, partition_type};
use disk_format::meta::ResetOrder;
use disk_format::state_disk::{
    DiskName, Encryption, PLACE_FILE, PROBLEM_FILE, Pointer, Site, Stage, StateDisk,
};
use rustix::fs::OFlags;
use uuid::Uuid;

use crate::disk::block_device::{self, Disk};
use crate::disk::choice::BootDisk;
use crate::disk::identity;
use crate::disk::other::{self, NotFound, OtherPartition, Place};
use crate::disk::search;
use crate::kernel::modules::KernelModules;
use crate::provision::{self, ProvisionError, Wish};
use crate::report::console;
use crate::report::error::{ActionFailed, Context, chain};
use crate::state::ext4_superblock::{self, Found};
use crate::state::ext4_tools::{self, Former};
use crate::state::partition::{self, HEAD_LENGTH, State, StateError};
use crate::state::random;
use crate::state::vault;
use crate::system_calls;
use crate::tpm::{Tpm, TpmError};

const MIB: u64 = 1 << 20;
/// Less is a mistake: the journal and a few containers' images fill it.
const LEAST_BYTES: u64 = 256 * MIB;
/// What a disk's own ends hold: tables, and what RAID and the like leave there.
const END_BYTES: u64 = MIB;
/// The label of the partition that is made: another than the boot disk's own, for whoever looks for that one.
const LABEL: &str = "keelson-state";
/// Between two looks for a disk that is missing, and between two words about it.
const PAUSE: Duration = Duration::from_secs(1);
const REMINDER: Duration = Duration::from_mins(10);

/// What is booted, as far as it matters here.
pub(crate) struct Machine<'a> {
    /// The disk that is booted from.
    pub(crate) boot_disk: &'a BootDisk,
    /// For disks that show later.
    pub(crate) modules: &'a mut KernelModules,
    /// Whether another version is booted if this one fails.
    pub(crate) is_counted: bool,
}

/// Where state is.
pub(super) enum Settled<'a> {
    /// On a partition that was there.
    On(State<'a>),
    /// On one that is ready for a file system.
    Unmade(State<'a>),
    /// On none, because nobody knows where it shall be; the configuration's check says why, and stops the boot.
    InMemory,
}

/// Why state on another disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ElsewhereError {
    /// A system call failed.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// The configuration cannot be asked.
    #[error("cannot learn which disk state shall be on")]
    Wish(#[from] ProvisionError),
    /// It is not there.
    #[error("state is on the disk {name}, partition {partition}")]
    Missing {
        /// As the configuration named it.
        name: DiskName,
        /// The partition.
        partition: Uuid,
        /// Why.
        source: NotFound,
    },
    /// The other disk's partition table cannot be read or written.
    #[error("the partition table of {disk}")]
    Table {
        /// The disk's device node.
        disk: String,
        /// Why.
        source: GptError,
    },
    /// The kernel cannot read what was written.
    #[error("the disk {disk} {problem}")]
    Disk {
        /// The disk's device node.
        disk: String,
        /// In words.
        problem: String,
    },
}

/// Finds out where state is; at the first boot, and when all is erased, where it shall be.
pub(super) fn settle<'a>(
    own: State<'a>,
    machine: &mut Machine<'_>,
    order: Option<&ResetOrder>,
) -> Result<Settled<'a>, StateError> {
    let head = partition::head(&own.own_path())?;
    let pointer = Pointer::read(&head);
    if let Some(Pointer {
        name,
        partition,
        stage: Stage::There,
        encryption,
    }) = &pointer
    {
        let other = wait_for(name, *partition, machine)?;
        say_place(&Site {
            name: Some(name.clone()),
            encryption: *encryption,
        })?;
        return Ok(Settled::On(own.moved_to(other, *encryption)));
    }
    if !is_open(
        ext4_superblock::recognise(&head),
        own.is_being_made(),
        order,
    ) {
        return Ok(Settled::On(own));
    }
    let esp = machine.boot_disk.esp.map(|esp| machine.boot_disk.path(esp));
    let wish = match provision::state_disk(esp.as_deref()).map_err(ElsewhereError::from)? {
        Wish::Nothing => return Ok(Settled::On(own)),
        Wish::Unknown => return Ok(Settled::InMemory),
        Wish::Disk(wish) => wish,
    };
    let planned = pointer.filter(|pointer| Some(&pointer.name) == wish.site.name.as_ref());
    match choose(&wish, planned.is_some(), machine)? {
        Ok(place) => Ok(Settled::Unmade(take(own, &wish, place, order)?)),
        Err(problem) => {
            let problem = format!("state shall be on {}: {problem}", wish.site);
            console::error(&problem);
            say(PROBLEM_FILE, &problem)?;
            Ok(Settled::InMemory)
        }
    }
}

/// Whether there is no state yet, or what there is goes.
fn is_open(found: Found, being_made: bool, order: Option<&ResetOrder>) -> bool {
    let is_unmade = match found {
        Found::Blank => true,
        Found::Other => being_made,
        Found::Ext4(_) => false,
    };
    is_unmade || order == Some(&ResetOrder::Erase)
}

/// For whoever holds a configuration against it.
pub(super) fn say_place(site: &Site) -> Result<(), ElsewhereError> {
    say(PLACE_FILE, site)
}

/// For the programs that run after this.
fn say(file: &str, text: &impl ToString) -> Result<(), ElsewhereError> {
    let path = Path::new("/run").join(file);
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, text.to_string() + "\n")
    };
    Ok(write().context(|| format!("write {}", path.display()))?)
}

/// A version whose drivers do not find the disk must fail, if another may; else the disk is missing, and it is waited for.
fn wait_for(
    name: &DiskName,
    partition: Uuid,
    machine: &mut Machine<'_>,
) -> Result<OtherPartition, ElsewhereError> {
    let boot_disk = &machine.boot_disk.disk.name;
    let look = || other::by_guid(&block_device::list(), boot_disk, partition);
    let source = match search::look_until(machine.modules, NotFound::is_final, look) {
        Ok(found) => return Ok(found),
        Err(source) => source,
    };
    let missing = ElsewhereError::Missing {
        name: name.clone(),
        partition,
        source,
    };
    if machine.is_counted {
        return Err(missing);
    }
    Ok(wait_for_ever(&missing, machine.modules, look))
}

fn wait_for_ever(
    missing: &ElsewhereError,
    modules: &mut KernelModules,
    look: impl Fn() -> Result<OtherPartition, NotFound>,
) -> OtherPartition {
    loop {
        console::error(&format!("failed: {}", chain(missing)));
        console::error("the machine stops here until that disk is there: no other state is made");
        let said = Instant::now();
        while said.elapsed() < REMINDER {
            thread::sleep(PAUSE);
            modules.load_next_driver();
            if let Ok(found) = look() {
                console::notice(&format!("state is there now: {}", found.path()));
                return found;
            }
        }
    }
}

/// What the configuration means, if it may be taken; else why not, in words for its owner. `None` is the disk that is booted
/// from.
fn choose(
    wish: &StateDisk,
    is_planned: bool,
    machine: &mut Machine<'_>,
) -> Result<Result<Option<Place>, String>, ElsewhereError> {
    if wish.site.encryption == Encryption::Tpm2
        && let Err(error @ TpmError::Absent) = Tpm::open()
    {
        return Ok(Err(error.to_string()));
    }
    let Some(name) = &wish.site.name else {
        return Ok(Ok(None));
    };
    let boot_disk = &machine.boot_disk.disk.name;
    let identity = |disk: &str| identity::of(Path::new("/sys"), disk);
    let look = || other::by_name(&block_device::list(), boot_disk, name, identity);
    let place = match search::look_until(machine.modules, NotFound::is_final, look) {
        Ok(place) => place,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let is_free = wish.is_wiped || is_planned;
    Ok(judge(&place, is_free)?.map(|()| Some(place)))
}

fn judge(place: &Place, is_free: bool) -> Result<Result<(), String>, ActionFailed> {
    let (path, length_bytes) = match place {
        Place::Disk(disk) => (disk.path(), disk.length_bytes),
        Place::Partition(one) => (one.path(), one.entry().map_or(0, |one| one.length_bytes)),
    };
    if length_bytes < LEAST_BYTES {
        let (length, least) = (length_bytes / MIB, LEAST_BYTES / MIB);
        return Ok(Err(format!(
            "{path} has {length} MiB, and {least} are the least"
        )));
    }
    let mut device = match open_unused(&path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            return Ok(Err(format!("{path} is in use")));
        }
        opened => opened.context(|| format!("open {path}"))?,
    };
    let is_blank = is_blank(&mut device, length_bytes).context(|| format!("read {path}"))?;
    if is_free || is_blank {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "{path} holds something; `wipe = true` in the configuration says that it goes"
    )))
}

/// Nobody has mounted it, or a part of it.
fn open_unused(path: &str) -> io::Result<File> {
    let flags = OFlags::EXCL.bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).custom_flags(flags);
    options.open(path)
}

/// Whether there is nothing where anything would show.
fn is_blank(device: &mut (impl io::Read + io::Seek), length_bytes: u64) -> io::Result<bool> {
    let ends = [0, length_bytes.saturating_sub(END_BYTES)];
    for start in ends {
        let mut bytes = Vec::new();
        device.seek(SeekFrom::Start(start))?;
        device.by_ref().take(END_BYTES).read_to_end(&mut bytes)?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes a place ready for the file system and writes down that state is there. Whenever the power fails, either nothing was
/// taken, or the next boot goes on where this one ended.
fn take<'a>(
    mut own: State<'a>,
    wish: &StateDisk,
    place: Option<Place>,
    order: Option<&ResetOrder>,
) -> Result<State<'a>, StateError> {
    let own_path = own.own_path();
    if order == Some(&ResetOrder::Erase) {
        console::notice(&format!("resetting state: it is made on {}", wish.site));
        own.begin_making_again()?;
        // What state was here goes.
        ext4_tools::make(&own_path, Former::Discarded)?;
    } else {
        own.begin_making()?;
    }
    let state = if let (Some(place), Some(name)) = (place, &wish.site.name) {
        move_to(own, wish, place, name)?
    } else {
        clear(&own_path, &[0])?;
        encrypted(own, &own_path, wish)?
    };
    say_place(&wish.site)?;
    let path = state.path();
    console::notice(&format!(
        "first boot: making a file system on {path} ({})",
        wish.site
    ));
    Ok(state)
}

/// The pointer to the place is final once nothing of what was there can be taken for state.
fn move_to<'a>(
    own: State<'a>,
    wish: &StateDisk,
    place: Place,
    name: &DiskName,
) -> Result<State<'a>, StateError> {
    let own_path = own.own_path();
    let guid = match &place {
        Place::Disk(_) => random::uuid()?,
        Place::Partition(other) => other.entry().map_or(Uuid::nil(), |entry| entry.guid),
    };
    let mut pointer = Pointer {
        name: name.clone(),
        partition: guid,
        stage: Stage::Planned,
        encryption: wish.site.encryption,
    };
    point(&own_path, &pointer)?;
    let other = match place {
        Place::Disk(disk) => partition_disk(disk, guid)?,
        Place::Partition(other) => {
            clear(&other.path(), &[0])?;
            other
        }
    };
    let path = other.path();
    let state = encrypted(own.moved_to(other, wish.site.encryption), &path, wish)?;
    pointer.stage = Stage::There;
    point(&own_path, &pointer)?;
    Ok(state)
}

/// In a volume, if that is wanted.
fn encrypted<'a>(
    state: State<'a>,
    device: &str,
    wish: &StateDisk,
) -> Result<State<'a>, StateError> {
    match wish.site.encryption {
        Encryption::None => Ok(state),
        Encryption::Tpm2 => Ok(state.within(vault::make(device, wish.has_recovery_key)?)),
    }
}

/// Nothing else stays in the first MiB: what is there shall not look like a file system.
fn point(own_path: &str, pointer: &Pointer) -> Result<(), ActionFailed> {
    let mut bytes = pointer.to_bytes().to_vec();
    bytes.resize(HEAD_LENGTH, 0);
    let write = || {
        let mut device = File::options().write(true).open(own_path)?;
        device.write_all(&bytes)?;
        device.sync_data()
    };
    write().context(|| format!("write to {own_path}"))
}

/// A table with one partition.
fn partition_disk(disk: Disk, guid: Uuid) -> Result<OtherPartition, ElsewhereError> {
    let path = disk.path();
    let end = disk.length_bytes.saturating_sub(END_BYTES);
    // Also where the partition begins: an old file system there must not be taken for the new one.
    clear(&path, &[0, MIB, end])?;
    let failed = |source| ElsewhereError::Table {
        disk: path.clone(),
        source,
    };
    let table = table(&disk, guid)?;
    let mut device = open_unused(&path).context(|| format!("open {path}"))?;
    let written = table.write(&mut device, disk.length_bytes);
    written.map_err(failed)?;
    device.sync().context(|| format!("sync {path}"))?;
    system_calls::read_partitions(&device)
        .context(|| format!("have the kernel read the partition table of {path}"))?;
    let other = OtherPartition {
        disk,
        table,
        number: 1,
    };
    if Path::new(&other.path()).exists() {
        return Ok(other);
    }
    Err(ElsewhereError::Disk {
        problem: format!("has no {}, though its table has", other.path()),
        disk: path,
    })
}

fn table(disk: &Disk, guid: Uuid) -> Result<PartitionTable, ElsewhereError> {
    let path = disk.path();
    let sector_size =
        block_device::sector_size(&disk.name).map_err(|problem| ElsewhereError::Disk {
            disk: path.clone(),
            problem,
        })?;
    let entry = Partition {
        type_guid: partition_type::LINUX_GENERIC,
        guid,
        name: LABEL.to_owned(),
        attributes: 0,
        start_bytes: MIB,
        length_bytes: MIB,
    };
    let mut table = PartitionTable {
        disk_guid: random::uuid()?,
        sector_size,
        partitions: BTreeMap::from([(1, entry)]),
    };
    let grown = table.grow_last(disk.length_bytes);
    grown.map_err(|source| ElsewhereError::Table { disk: path, source })?;
    Ok(table)
}

/// Zeros a MiB from each of these places on.
fn clear(path: &str, starts: &[u64]) -> Result<(), ActionFailed> {
    let clear = || {
        let mut device = open_unused(path)?;
        for start in starts {
            device.seek(SeekFrom::Start(*start))?;
            device.write_all(&vec![0; HEAD_LENGTH])?;
        }
        device.sync_data()
    };
    clear().context(|| format!("clear {path}"))
}

/// After the other disk has grown, if it holds nothing but state: the partition grows with it.
pub(super) fn follow_disk(other: &mut OtherPartition) -> Result<(), ElsewhereError> {
    let length_bytes = other.disk.length_bytes;
    let disk = other.disk.path();
    let failed = |source| ElsewhereError::Table {
        disk: disk.clone(),
        source,
    };
    let mut table = other.table.clone();
    if table.partitions.len() != 1 || !table.grow_last(length_bytes).map_err(failed)? {
        return Ok(());
    }
    console::info(&format!("writing the partition table of {disk}"));
    let device = File::options().read(true).write(true).open(&disk);
    let mut device = device.context(|| format!("open {disk}"))?;
    table.write(&mut device, length_bytes).map_err(failed)?;
    device.sync().context(|| format!("sync {disk}"))?;
    other.table = table;
    if let Some(entry) = other.entry() {
        let (start, length) = (entry.start_bytes, entry.length_bytes);
        let path = other.path();
        block_device::resize_partition(&device, &path, other.number, start, length)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::ext4_superblock::Ext4Superblock;
    use disk_format::meta::{Identity, Kept};
    use std::io::Cursor;

    #[test]
    fn only_where_there_is_no_state_the_configuration_is_asked() {
        let ext4 = Found::Ext4(Ext4Superblock {
            length_bytes: 4096,
            block_bytes: 4096,
            needs_check: false,
        });
        let clear = ResetOrder::Clear(Kept {
            identity: Identity::New,
            paths: Vec::new(),
        });
        for (found, being_made, open) in [
            (Found::Blank, false, true),
            (Found::Blank, true, true),
            (Found::Other, false, false),
            (Found::Other, true, true),
            (ext4, false, false),
            (ext4, true, false),
        ] {
            assert_eq!(is_open(found, being_made, None), open, "{found:?}");
            assert_eq!(is_open(found, being_made, Some(&clear)), open, "{found:?}");
            assert!(is_open(found, being_made, Some(&ResetOrder::Erase)));
        }
    }

    #[test]
    fn both_ends_are_looked_at() {
        let length = 4 * END_BYTES;
        for (at, blank) in [
            (0, false),
            (END_BYTES - 1, false),
            (END_BYTES, true),
            (3 * END_BYTES - 1, true),
            (3 * END_BYTES, false),
            (length - 1, false),
        ] {
            let mut bytes = vec![0; usize::try_from(length).unwrap()];
            bytes[usize::try_from(at).unwrap()] = 1;
            let found = is_blank(&mut Cursor::new(bytes), length).unwrap();
            assert_eq!(found, blank, "a byte at {at}");
        }
    }

    fn place(bytes: u64, first: &[u8]) -> (tempfile::TempDir, OtherPartition) {
        let folder = tempfile::tempdir().unwrap();
        // A file's path below /dev, which is where disks are.
        let path = folder.path().join("disk1");
        fs::write(&path, first).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(bytes)
            .unwrap();
        let name = format!("..{}", folder.path().join("disk").display());
        let table = PartitionTable {
            disk_guid: Uuid::from_u128(1),
            sector_size: disk_format::gpt::SectorSize::Bytes512,
            partitions: BTreeMap::from([(
                1,
                Partition {
                    type_guid: partition_type::LINUX_GENERIC,
                    guid: Uuid::from_u128(2),
                    name: "data".to_owned(),
                    attributes: 0,
                    start_bytes: MIB,
                    length_bytes: bytes,
                },
            )]),
        };
        let disk = Disk {
            name,
            length_bytes: bytes,
            contents: block_device::Contents::Unreadable(String::new()),
        };
        let number = 1;
        (
            folder,
            OtherPartition {
                disk,
                table,
                number,
            },
        )
    }

    #[test]
    fn what_holds_something_is_taken_only_if_it_is_to_go() {
        let judge = |bytes, first: &[u8], is_free| {
            let (_folder, other) = place(bytes, first);
            super::judge(&Place::Partition(other), is_free).unwrap()
        };
        assert_eq!(judge(LEAST_BYTES, b"", false), Ok(()));
        let error = judge(LEAST_BYTES, b"mine", false).unwrap_err();
        assert!(error.contains("holds something; `wipe = true`"), "{error}");
        assert_eq!(judge(LEAST_BYTES, b"mine", true), Ok(()));
        let error = judge(LEAST_BYTES - MIB, b"", true).unwrap_err();
        assert!(
            error.contains("has 255 MiB, and 256 are the least"),
            "{error}"
        );
    }

    #[test]
    fn a_pointer_leaves_nothing_that_looks_like_a_file_system() {
        let (_folder, other) = place(LEAST_BYTES, &[0xff; 8192]);
        let pointer = Pointer {
            name: "serial A".parse().unwrap(),
            partition: Uuid::from_u128(7),
            stage: Stage::There,
            encryption: Encryption::None,
        };
        point(&other.path(), &pointer).unwrap();
        let head = partition::head(&other.path()).unwrap();
        assert_eq!(Pointer::read(&head), Some(pointer));
        assert_eq!(ext4_superblock::recognise(&head), Found::Other);
        assert!(head[512..].iter().all(|byte| *byte == 0));
    }
}

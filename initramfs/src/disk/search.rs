//! Waits until the boot disk is there: loads drivers, the likeliest first, and looks again until it
//! is or time is up. Drivers that it did not need are left to udev: a copy of the disk behind one of
//! them does not count, because waiting for the links of an empty controller costs every boot 0.4 s.
//!
//! Which disk it is, is decided in [`crate::disk::choice`].
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::boot_loader::boot_path::BootPath;
use crate::boot_options::BootOptions;
use crate::disk::block_device;
use crate::disk::choice::{self, BootDisk, Criterion, NoDisk};
use crate::kernel::modules::KernelModules;

const TIME_OUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Why there is no boot disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootDiskError {
    /// None was chosen.
    #[error(transparent)]
    NoDisk(#[from] NoDisk),
    /// The kernel has not made the device nodes.
    #[error(
        "the kernel does not know {path}, which is in the partition table; \
         if only the backup table is intact, it needs `gpt` on its command line"
    )]
    NodeMissing {
        /// The node.
        path: String,
    },
}

impl BootDiskError {
    /// Whether waiting longer is pointless: a second candidate does not go away.
    fn is_final(&self) -> bool {
        matches!(self, Self::NoDisk(NoDisk::Ambiguous { .. }))
    }
}

/// Finds the disk, however long its drivers take, up to 30 seconds.
pub(crate) fn find(
    options: &BootOptions,
    boot_path: &BootPath,
    modules: &mut KernelModules,
) -> Result<BootDisk, BootDiskError> {
    let criterion = criterion(options, boot_path);
    look_until(modules, BootDiskError::is_final, || {
        look(&criterion, options)
    })
}

/// Looks for something on disks until it is there, loading drivers in between, for 30 seconds at most or until
/// an error is final.
pub(crate) fn look_until<T, E>(
    modules: &mut KernelModules,
    is_final: impl Fn(&E) -> bool,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let loaded = modules.load_next_driver();
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if start.elapsed() > TIME_OUT || is_final(&error) => return Err(error),
            Err(_) => {}
        }
        if !loaded {
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn criterion(options: &BootOptions, boot_path: &BootPath) -> Criterion {
    match (&options.disk, boot_path) {
        (Some(name), _) => Criterion::Named(name.clone()),
        (None, BootPath::Uefi { esp, .. }) => Criterion::Esp(*esp),
        (None, BootPath::Direct) => Criterion::OnlyRoot,
    }
}

fn look(criterion: &Criterion, options: &BootOptions) -> Result<BootDisk, BootDiskError> {
    let disks = block_device::list();
    let disk = choice::choose(&disks, criterion, &options.root_hash)?;
    let missing = disk
        .used_partitions()
        .map(|number| disk.path(number))
        .find(|path| !Path::new(path).exists());
    match missing {
        None => Ok(disk),
        Some(path) => Err(BootDiskError::NodeMissing { path }),
    }
}

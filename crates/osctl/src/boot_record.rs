//! The boot record in the `meta` partition, of which `/init` is the other reader and writer.
//!
//! One process at a time changes it. What it says is for [`crate::failed_boots`] and [`crate::reset_state`].
use std::fs::File;

use disk_format::meta::{BootRecord, MetaError};
use rustix::fs::{FlockOperation, flock};

use machine_facts::boot_facts::BootFacts;
use machine_facts::error::{Fact, FactError};
use machine_facts::system_root::SystemRoot;

/// Reads the record.
pub(crate) fn read(root: &SystemRoot, boot: &BootFacts) -> Fact<BootRecord> {
    let path = meta_path(boot)?;
    let mut device = File::open(root.path(path)).map_err(FactError::read(path))?;
    read_from(path, &mut device)
}

/// Changes the record, durably; what stays as it was is not written.
pub(crate) fn change<T>(
    root: &SystemRoot,
    boot: &BootFacts,
    change: impl FnOnce(&mut BootRecord) -> T,
) -> Fact<T> {
    let path = meta_path(boot)?;
    let device = File::options().read(true).write(true).open(root.path(path));
    let mut device = device.map_err(FactError::read(path))?;
    // The health check and an administrator may both want to. Released with the file.
    flock(&device, FlockOperation::LockExclusive)
        .map_err(|errno| FactError::read(path)(errno.into()))?;
    let before = read_from(path, &mut device)?;
    let mut record = before.clone();
    let result = change(&mut record);
    if record != before {
        let written = record.write(&mut device);
        written.map_err(|source| record_error(path, source))?;
    }
    Ok(result)
}

fn meta_path(boot: &BootFacts) -> Fact<&str> {
    let missing = || FactError::Absent(format!("{} has no partition named \"meta\"", boot.disk));
    boot.meta.as_deref().ok_or_else(missing)
}

fn read_from(path: &str, device: &mut File) -> Fact<BootRecord> {
    let read = BootRecord::read(device);
    read.map(|(record, _)| record)
        .map_err(|source| record_error(path, source))
}

fn record_error(path: &str, source: MetaError) -> FactError {
    FactError::BootRecord {
        path: path.to_owned(),
        source,
    }
}

//! The boot record in the `meta` partition: read, and changed in one durable step.
//!
//! It does not know what the record is about. Nobody else writes it yet when `/init` runs.
use std::fs::File;

use disk_format::meta::{BootRecord, MetaError};

use crate::disk::choice::BootDisk;
use crate::report::console;
use crate::report::error::{ActionFailed, Context, chain};

/// Why the record could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The disk has none.
    #[error("there is no partition named \"meta\"")]
    NoPartition,
    /// A system call failed.
    #[error(transparent)]
    Open(#[from] ActionFailed),
    /// It cannot be read or written.
    #[error("the meta partition {path}")]
    Record {
        /// The partition.
        path: String,
        /// What is wrong with it.
        source: MetaError,
    },
}

/// Reads the record.
pub(crate) fn read(disk: &BootDisk) -> Result<BootRecord, RecordError> {
    let path = path(disk)?;
    let mut device = File::open(&path).context(|| format!("open {path}"))?;
    let read = BootRecord::read(&mut device);
    read.map(|(record, _)| record)
        .map_err(|source| RecordError::Record { path, source })
}

/// Changes the record; on return the change is durable.
pub(crate) fn change<T>(
    disk: &BootDisk,
    change: impl FnOnce(&mut BootRecord) -> T,
) -> Result<T, RecordError> {
    let path = path(disk)?;
    let mut device = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .context(|| format!("open {path}"))?;
    let failed = |source| RecordError::Record {
        path: path.clone(),
        source,
    };
    let mut record = match BootRecord::read(&mut device) {
        Ok((record, _)) => record,
        Err(error) => {
            // Writing repairs it; what stood in it is lost.
            console::warning(&chain(&failed(error)));
            BootRecord::default()
        }
    };
    let result = change(&mut record);
    record.write(&mut device).map_err(failed)?;
    Ok(result)
}

fn path(disk: &BootDisk) -> Result<String, RecordError> {
    Ok(disk.path(disk.meta.ok_or(RecordError::NoPartition)?))
}

//! The state file system: where it is and how full.
//!
//! It does not look into it.
use crate::mount_table::MountTable;
use machine_facts::error::{Fact, FactError};
use machine_facts::system_root::SystemRoot;

/// Where state is mounted.
pub(crate) const MOUNT_POINT: &str = "/state";

/// The file system's device and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateSpace {
    /// What is mounted.
    pub(crate) device: String,
    /// Its size.
    pub(crate) size_bytes: u64,
    /// What is left for users other than root.
    pub(crate) free_bytes: u64,
}

impl StateSpace {
    /// Asks the kernel.
    pub(crate) fn read(root: &SystemRoot, mounts: &MountTable) -> Fact<Self> {
        let device = mounts.at(MOUNT_POINT)?.source.clone();
        let space = rustix::fs::statvfs(root.path(MOUNT_POINT))
            .map_err(|errno| FactError::read(MOUNT_POINT)(errno.into()))?;
        Ok(Self {
            device,
            size_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }
}

//! What the kernel needs first: its file systems and its drivers.
//!
//! It does not configure devices.
pub(crate) mod glob;
pub(crate) mod module_index;
pub(crate) mod modules;
pub(crate) mod mounts;

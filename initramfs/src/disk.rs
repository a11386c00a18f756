//! The disks of this machine and the one that is booted from.
//!
//! What is inside the partitions is left to `root` and `state`.
pub(crate) mod block_device;
pub(crate) mod choice;
pub(crate) mod identity;
pub(crate) mod other;
pub(crate) mod search;

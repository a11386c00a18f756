//! dm-verity: the hash tree that makes every block of a root file system verifiable.
//!
//! Does not set up devices: that is the kernel's device mapper, told by whoever calls this.

mod root_hash;

pub use root_hash::{InvalidRootHash, RootHash};

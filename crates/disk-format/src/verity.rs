//! dm-verity: the hash tree that makes every block of a root file system verifiable.
//!
//! Format: version 1 with a superblock, SHA-256 and blocks of 4096 bytes, as `veritysetup format`
//! writes it (<https://gitlab.com/cryptsetup/cryptsetup/-/wikis/DMVerity>). The superblock is block
//! 0; then come the levels of digests, the smallest first, each block with 128 digests and padded
//! with zeros. A digest is SHA-256 of the salt and the block. The root hash is that of the first
//! level's only block, or of the data if that is a single block.
//!
//! Does not set up devices: that is the kernel's device mapper, told by whoever calls this.

mod build;
mod error;
mod layout;
mod root_hash;
mod superblock;
#[cfg(test)]
mod tests;
mod verify;

pub use build::{BuiltTree, VerityOptions, build, build_from_digests, hash_blocks};
pub use error::VerityError;
pub use layout::{Layout, Level, tree_length_bytes};
pub use root_hash::{InvalidRootHash, RootHash};
pub use superblock::{Superblock, table_parameters};
pub use verify::{read_digests, verify};

/// Bytes of a block, of data as of the tree.
pub const BLOCK_LENGTH_BYTES: u64 = 4096;
/// The same, where slices are cut.
pub(crate) const BLOCK_LENGTH: usize = 4096;
/// Digests in one block of the tree.
pub(crate) const DIGESTS_PER_BLOCK: u64 = 128;

/// The SHA-256 digest of the salt and one block.
pub type Digest = [u8; 32];

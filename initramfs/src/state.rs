//! The writable rest: its file system, its folders, `/etc`, the identity of the machine.
//!
//! What the programs keep in it is theirs.
pub(crate) mod durable;
pub(crate) mod elsewhere;
pub(crate) mod etc_layers;
pub(crate) mod ext4_superblock;
pub(crate) mod ext4_tools;
pub(crate) mod folders;
pub(crate) mod machine_id;
pub(crate) mod marker;
pub(crate) mod partition;
pub(crate) mod random;
pub(crate) mod recovery_key;
pub(crate) mod reset;
pub(crate) mod table;
pub(crate) mod tree_copy;
pub(crate) mod vault;

//! Images on this machine: containerd holds them, archives bring them, and the machine's policy judges them.
//!
//! A [`store::Store`] is a connection to containerd. [`load::load_image`] puts an image of an archive there,
//! [`unpack::unpack`] makes its layers a root file system that a container can be put over. It mounts nothing
//! and runs nothing.

pub mod archive;
pub mod load;
pub mod platform;
pub mod policy;
pub mod store;
pub mod unpack;

//! Images on this machine: containerd holds them, registries and archives bring them, and the machine's policy
//! judges them.
//!
//! A [`store::Store`] is a connection to containerd. [`pull::pull`] fetches an image from its registry into it,
//! [`load::load_image`] takes one of an archive, [`unpack::unpack`] makes its layers a root file system that a container can be put over. It runs nothing, and
//! mounts nothing that others see: a [`store::RootMount`] is mounted in nobody's tree.

pub mod archive;
mod error;
pub mod load;
pub mod platform;
pub mod policy;
pub mod pull;
pub mod room;
pub mod save;
pub mod store;
pub mod unpack;
pub mod uses;

pub use error::{Error, Result};

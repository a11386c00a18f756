//! Builds a Keelson disk image from Debian 13 packages and the programs of this workspace.
//!
//! [`build::build`] is the list of steps; [`cache`] decides which run. A step's work stands in the module
//! of its name. Nothing here needs root, a chroot or maintainer scripts: trees are values ([`tree`]),
//! owners are numbers in a tar, and the tools that shape the image come from the image's own Debian
//! release ([`tools`]).
//!
//! Not here: on-disk formats (crate `disk-format`), booting (crate `keelson-qemu`), releases.

pub mod apt;
pub mod boot_image;
pub mod build;
pub mod cache;
pub mod commit;
pub mod compose;
pub mod deb;
pub mod derive;
pub mod digest;
pub mod disk_image;
pub mod error;
pub mod fetch;
pub mod initramfs;
pub mod lock;
pub mod mirror;
pub mod output;
pub mod pattern;
pub mod programs;
pub mod recipe;
pub mod renew;
pub mod root_image;
pub mod staging;
pub mod tar_tree;
pub mod tools;
pub mod tree;
pub mod unpack;

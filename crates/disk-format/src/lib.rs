//! On-disk formats of a Keelson disk, over `Read`, `Write` and `Seek`.
//!
//! Nothing in this crate opens a file, reads a clock, draws random numbers or starts a thread:
//! identifiers and time stamps are passed in, so that the same input gives the same bytes.

pub mod boot_entry;
pub mod configuration_file;
pub mod cpio;
pub mod disk;
pub mod esp;
pub mod gpt;
pub mod meta;
pub mod state_disk;
pub mod uki;
pub mod verity;
pub mod window;

#[cfg(test)]
mod recording_disk;
#[cfg(test)]
mod test_tools;

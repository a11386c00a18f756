//! What a running Keelson machine knows of itself, read from the files that say so.
//!
//! How it was booted ([`boot_facts`]), which image it runs ([`release`]), which versions the boot loader
//! knows ([`boot_entries`]), whether it is healthy ([`health_report`]), what became of its first-boot configuration
//! ([`provision_record`]), and what it remembers of updates ([`update_files`]). Shared by the programs of the machine; judges nothing and writes only what is its
//! own: the health report, and the files of updates.

pub mod boot_entries;
pub mod boot_facts;
pub mod error;
pub mod health_report;
pub mod provision_record;
pub mod release;
pub mod system_root;
pub mod update_files;

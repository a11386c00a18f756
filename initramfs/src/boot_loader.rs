//! How the boot loader started this boot, and what it is told by renaming its entries.
//!
//! It does not write UEFI variables.
pub(crate) mod attempt;
pub(crate) mod boot_count;
pub(crate) mod boot_path;
pub(crate) mod demotion;
pub(crate) mod efi_variable;
mod esp_entries;
pub(crate) mod record;

//! Counts this boot as failed, before anything else can fail; user space clears the count once
//! the system is healthy.
//!
//! The record is in the `meta` partition. It helps to end a loop of failures and must not start
//! one: a partition that is missing or damaged is a warning.
use disk_format::verity::RootHash;

use crate::boot_loader::boot_path::BootPath;
use crate::boot_loader::demotion::{self, Decision, FAILURES_BEFORE_DEMOTION, Plan};
use crate::boot_loader::record::{self, RecordError};
use crate::boot_options::BootOptions;
use crate::disk::choice::BootDisk;
use crate::failure;
use crate::kernel::modules::KernelModules;
use crate::report::console;
use crate::report::error::{ActionFailed, chain};

/// Counts this boot and returns how many in a row have now failed, this one included; 0 if
/// nobody knows. Does not return if the version is demoted: then the machine reboots.
pub(crate) fn count(
    disk: &BootDisk,
    options: &BootOptions,
    boot_path: &BootPath,
    modules: &KernelModules,
) -> u32 {
    let failed_boots = match count_in_record(disk, &options.root_hash) {
        Ok(count) => count,
        Err(error) => {
            console::warning(&format!("boots are not counted: {}", chain(&error)));
            return 0;
        }
    };
    failure::set_failed_boots(failed_boots);
    console::info(&format!(
        "boot {failed_boots} of this version since it was last healthy"
    ));
    match demotion::decide(boot_path, failed_boots.saturating_sub(1)) {
        Decision::Continue => {}
        Decision::Demote => {
            modules.load_for_esp();
            demote(disk, options);
        }
    }
    failed_boots
}

fn count_in_record(disk: &BootDisk, root_hash: &RootHash) -> Result<u32, RecordError> {
    record::change(disk, |record| record.count_failed_boot(root_hash))
}

fn demote(disk: &BootDisk, options: &BootOptions) {
    console::warning(&format!(
        "this version failed {FAILURES_BEFORE_DEMOTION} times or more although it was good once"
    ));
    match try_to_demote(disk, options) {
        Ok(reason) => console::warning(&format!("it is tried again: {reason}")),
        Err(error) => console::warning(&format!("it is tried again: {}", chain(&error))),
    }
}

/// Reboots if it succeeds; else says why there is nothing better to do.
fn try_to_demote(disk: &BootDisk, options: &BootOptions) -> Result<&'static str, ActionFailed> {
    let Some(version) = &options.version else {
        return Ok("keelson.version= is not on the kernel command line");
    };
    let Some(esp) = disk.esp else {
        return Ok("the disk has no ESP");
    };
    match demotion::demote(&disk.path(esp), version)? {
        Plan::NothingElseToBoot => Ok("the ESP holds no other version that could be booted"),
        Plan::NoOwnEntry => Ok("the ESP holds no entry of it without a counter"),
        Plan::Rename { from, to } => {
            // A count that stays is harmless: the entry is at +0, and counted from now on.
            if let Err(error) = record::change(disk, |r| r.clear_failed_boots(&options.root_hash)) {
                console::warning(&chain(&error));
            }
            console::error(&format!(
                "renamed {from} to {to}; rebooting into the other version"
            ));
            failure::restart()
        }
    }
}

//! The cluster's reboot lock, wherever the settings say that it is kept.
//!
//! Does not decide whether the machine reboots, nor remember what it holds: [`crate::reboot`] does.

mod fleet_lock;
mod in_store;

use anyhow::bail;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use update_model::lock_view::{Kept, LockView};
use update_model::reboot::Lock;
use update_model::semaphore::{Full, is_machine};
use update_model::settings::Settings;
use update_model::settings::reboot_lock::RebootLock;

use crate::store::configured;

/// Who holds a machine's slot.
pub fn holder(root: &SystemRoot) -> anyhow::Result<String> {
    Ok(root.read_word("/etc/machine-id")?)
}

/// Takes a slot for a machine, or finds that it has one. Whatever goes wrong is an answer too: no reboot.
pub fn take(root: &SystemRoot, settings: &Settings, machine: &str) -> Lock {
    let taken = match &settings.reboot_lock {
        RebootLock::None => return Lock::Unneeded,
        RebootLock::Store(lock) => configured(settings)
            .and_then(|store| in_store::take(root, store, &lock.group, machine))
            .map(|taken| taken.map_or_else(waiting, |()| Lock::Held)),
        RebootLock::FleetLock(lock) => fleet_lock::take(lock, machine),
    };
    taken.unwrap_or_else(|error| Lock::Unreachable(format!("{error:#}")))
}

fn waiting(full: Full) -> Lock {
    if full.slots == 0 {
        return Lock::HeldByOthers(vec!["whoever set the lock's slots to 0".to_owned()]);
    }
    Lock::HeldByOthers(full.holders)
}

/// Gives a machine's slot back; says whether that is known to have been held.
pub fn release(root: &SystemRoot, settings: &Settings, machine: &str) -> anyhow::Result<bool> {
    match &settings.reboot_lock {
        RebootLock::None => Ok(false),
        RebootLock::Store(lock) => {
            in_store::release(root, configured(settings)?, &lock.group, machine)
        }
        RebootLock::FleetLock(lock) => {
            fleet_lock::release(lock, machine)?;
            Ok(true)
        }
    }
}

/// Who holds the lock, for people.
pub fn view(root: &SystemRoot, settings: &Settings) -> anyhow::Result<LockView> {
    let (group, kept) = match &settings.reboot_lock {
        RebootLock::None => bail!(NO_LOCK),
        RebootLock::Store(lock) => {
            let semaphore = in_store::read(root, configured(settings)?, &lock.group)?;
            (&lock.group, Kept::InStore(semaphore))
        }
        RebootLock::FleetLock(lock) => (&lock.group, Kept::ByFleetLock(lock.url.clone())),
    };
    Ok(LockView {
        group: group.clone(),
        machine: holder(root)?,
        last_seen: update_files::read_record(root)?.preparation.lock,
        kept,
    })
}

const NO_LOCK: &str =
    "this machine takes no lock before it reboots: see `reboot-lock` in /etc/keelson/update.toml";

/// Takes the slot away from a machine that will not give it back itself, and says what came of it.
pub fn unlock(root: &SystemRoot, settings: &Settings, machine: &str) -> anyhow::Result<String> {
    if settings.reboot_lock == RebootLock::None {
        bail!(NO_LOCK);
    }
    if !is_machine(machine) {
        bail!("{machine:?} is no machine's id: `osctl lock status` shows those of the holders");
    }
    if release(root, settings, machine)? {
        Ok(format!("{machine} holds no slot any more"))
    } else {
        bail!("{machine} holds no slot: `osctl lock status` shows who does")
    }
}

/// Changes how many machines may hold the lock at once.
pub fn set_slots(root: &SystemRoot, settings: &Settings, slots: u32) -> anyhow::Result<String> {
    match &settings.reboot_lock {
        RebootLock::None => bail!(NO_LOCK),
        RebootLock::Store(lock) => {
            in_store::set_slots(root, configured(settings)?, &lock.group, slots)?;
            let group = &lock.group;
            Ok(format!(
                "{slots} machines of group {group} may reboot at once"
            ))
        }
        RebootLock::FleetLock(lock) => bail!(
            "the lock is kept by the FleetLock server at {}: its slots are set there",
            lock.url
        ),
    }
}

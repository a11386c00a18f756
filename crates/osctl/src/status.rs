//! What this machine runs: every part as it was found out, or why it could not be.
//!
//! It prints nothing; [`text`] and [`json`] do.

pub(crate) mod json;
pub(crate) mod text;

use std::time::Duration;

use disk_format::boot_entry::{BootEntry, Counter};

use crate::failed_boots;
use crate::mount_table::MountTable;
use crate::reset_state::ResetState;
use crate::state_space::StateSpace;
use crate::update_view::UpdateView;
use crate::verification::{self, Query, Verification};
use machine_facts::boot_entries::{self, BootEntries};
use machine_facts::boot_facts::{self, BootFacts, BootPath};
use machine_facts::error::{Fact, FactError};
use machine_facts::health_report::HealthReport;
use machine_facts::provision_record;
use machine_facts::release::Release;
use machine_facts::system_root::SystemRoot;

/// The recipe's `name`, which the builder writes as `ID=`.
const KEELSON: &str = "keelson";

/// This is some other system.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is not a running Keelson system: /usr/lib/os-release does not say ID=keelson, and {} \
     does not exist",
    boot_facts::PATH
)]
pub(crate) struct NotKeelson;

/// How the running version was booted, as far as the boot loader's counter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// No boot loader counts.
    Direct,
    /// There is a boot loader; the counter is that of the entry now, not at boot.
    Uefi(Counter),
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Status {
    /// The image.
    pub(crate) release: Fact<Release>,
    /// The facts of this boot.
    pub(crate) boot: Fact<BootFacts>,
    /// Whether the root is verified.
    pub(crate) verification: Fact<Verification>,
    /// The running version's boot entry.
    pub(crate) entry: Fact<Entry>,
    /// The other installed versions.
    pub(crate) other_versions: Fact<Vec<BootEntry>>,
    /// Boots in a row that did not become healthy, this one included until it is.
    pub(crate) failed_boots: Fact<u32>,
    /// Whether state is about to be reset.
    pub(crate) reset: Fact<ResetState>,
    /// The writable file system.
    pub(crate) state: Fact<StateSpace>,
    /// What the health check said last; `None` if it has not run in this boot.
    pub(crate) health: Fact<Option<HealthReport>>,
    /// What became of the first-boot configuration; `None` if none was ever looked for.
    pub(crate) provision: Fact<Option<provision_record::Record>>,
    /// Where updates are.
    pub(crate) update: Fact<UpdateView>,
}

impl Status {
    /// Finds out what can be found out; an error only if this is no Keelson system.
    pub(crate) fn read(root: &SystemRoot, query: Query<'_>) -> Result<Self, NotKeelson> {
        let release = Release::read(root);
        let boot = BootFacts::read(root);
        let is_keelson = release.as_ref().is_ok_and(|release| release.id == KEELSON);
        if !is_keelson && boot.as_ref().is_err_and(FactError::is_missing_file) {
            return Err(NotKeelson);
        }
        Ok(Self {
            verification: verification(root, &boot, query),
            entry: entry(root, &boot),
            other_versions: other_versions(root, &boot),
            failed_boots: known(&boot).and_then(|boot| failed_boots::read(root, boot)),
            reset: known(&boot).and_then(|boot| ResetState::read(root, boot)),
            state: MountTable::read(root).and_then(|mounts| StateSpace::read(root, &mounts)),
            health: HealthReport::read(root),
            provision: provision_record::Record::read(root),
            update: UpdateView::read(root),
            release,
            boot,
        })
    }
}

/// The facts of this boot, for another fact that depends on them.
fn known(boot: &Fact<BootFacts>) -> Fact<&BootFacts> {
    boot.as_ref().map_err(|error| {
        if error.needs_root() {
            FactError::read(boot_facts::PATH)(std::io::ErrorKind::PermissionDenied.into())
        } else {
            FactError::Absent("it depends on the facts of this boot".to_owned())
        }
    })
}

fn verification(root: &SystemRoot, boot: &Fact<BootFacts>, query: Query<'_>) -> Fact<Verification> {
    let boot = known(boot)?;
    verification::read(root, &MountTable::read(root)?, boot, query)
}

fn entry(root: &SystemRoot, boot: &Fact<BootFacts>) -> Fact<Entry> {
    let boot = known(boot)?;
    if boot.boot_path == BootPath::Direct {
        return Ok(Entry::Direct);
    }
    let version = own_version(boot)?;
    let counter = BootEntries::read(root)?.counter(version);
    let folder = boot_entries::FOLDER;
    let missing = || FactError::Absent(format!("{folder} has no entry of version {version}"));
    counter.map(Entry::Uefi).ok_or_else(missing)
}

fn other_versions(root: &SystemRoot, boot: &Fact<BootFacts>) -> Fact<Vec<BootEntry>> {
    let boot = known(boot)?;
    if boot.esp.is_none() {
        let disk = &boot.disk;
        return Err(FactError::Absent(format!("{disk} has no ESP")));
    }
    let version = own_version(boot)?;
    let entries = BootEntries::read(root)?;
    Ok(entries.others(version).cloned().collect())
}

fn own_version(boot: &BootFacts) -> Fact<&str> {
    let missing = || FactError::Absent("keelson.version= was not on the command line".to_owned());
    boot.version.as_deref().ok_or_else(missing)
}

/// The time since a moment given in seconds after the kernel's start; zero if it is to come.
fn elapsed(since_seconds: f64, now: Duration) -> Duration {
    let since = Duration::try_from_secs_f64(since_seconds).unwrap_or(now);
    now.saturating_sub(since)
}

#[cfg(test)]
mod tests;

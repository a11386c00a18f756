//! The boot entries on the ESP: listed and renamed while it is mounted for that alone.
//!
//! It does not judge them.
use std::fs::{self, File};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::report::error::{ActionFailed, Context};

const MOUNT_POINT: &str = "/esp";
const ENTRIES: &str = "/esp/EFI/Linux";

/// Does something with the entries' file names, on the ESP at this device node; its modules must be loaded.
pub(super) fn visit<T>(
    esp_path: &str,
    work: impl FnOnce(&[String]) -> Result<T, ActionFailed>,
) -> Result<T, ActionFailed> {
    fs::create_dir_all(MOUNT_POINT).context(|| format!("create {MOUNT_POINT}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(esp_path, MOUNT_POINT, "vfat", flags, c"")
        .context(|| format!("mount the ESP {esp_path}"))?;
    let done = names().and_then(|names| work(&names));
    let unmounted = unmount(MOUNT_POINT, UnmountFlags::empty());
    unmounted.context(|| format!("unmount the ESP {esp_path}"))?;
    done
}

/// What is no text is no entry of ours.
fn names() -> Result<Vec<String>, ActionFailed> {
    let names = fs::read_dir(ENTRIES)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|e| e.file_name()))
                .collect::<Result<Vec<_>, _>>()
        })
        .context(|| format!("list the boot entries in {ENTRIES}"))?;
    let names = names.into_iter();
    Ok(names.filter_map(|name| name.into_string().ok()).collect())
}

/// Renames one, durably, while [`visit`] lasts.
pub(super) fn rename(from: &str, to: &str) -> Result<(), ActionFailed> {
    fs::rename(format!("{ENTRIES}/{from}"), format!("{ENTRIES}/{to}"))
        .context(|| format!("rename the boot entry {from} to {to}"))?;
    let folder = File::open(ENTRIES).context(|| format!("open {ENTRIES}"))?;
    rustix::fs::syncfs(&folder).context(|| "sync the ESP".to_owned())
}

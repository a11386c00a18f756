//! The kernel's own file systems: `/proc`, `/sys`, `/dev`, `/run`, and efivarfs on UEFI machines.
//!
//! The mounts are made with the options systemd would use, because it takes them over.
use std::ffi::CStr;
use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use crate::report::console;
use crate::report::error::{ActionFailed, Context};

/// Where the mounts are before and, under the new root, after the switch.
pub(crate) const MOUNT_POINTS: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

const EFIVARFS: &str = "/sys/firmware/efi/efivars";

/// Mounts `/proc`, `/sys`, `/dev` and `/run`.
pub(crate) fn mount_all() -> Result<(), ActionFailed> {
    let nothing_special = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_one("proc", "/proc", nothing_special, c"")?;
    mount_one("sysfs", "/sys", nothing_special, c"")?;
    mount_one("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755")?;
    mount_one(
        "tmpfs",
        "/run",
        MountFlags::NOSUID | MountFlags::NODEV,
        c"mode=0755",
    )
}

/// Mounts efivarfs if the firmware is UEFI; its module must be loaded.
///
/// Without it the boot goes on as a direct one would, so a failure is only a warning.
pub(crate) fn mount_efivarfs() {
    if Path::new("/sys/firmware/efi").exists() {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        if let Err(error) = mount_one("efivarfs", EFIVARFS, flags, c"") {
            console::warning(&crate::report::error::chain(&error));
        }
    }
}

fn mount_one(kind: &str, target: &str, flags: MountFlags, data: &CStr) -> Result<(), ActionFailed> {
    fs::create_dir_all(target).context(|| format!("create {target}"))?;
    match mount(kind, target, kind, flags, data) {
        Err(Errno::BUSY) => Ok(()), // the kernel was configured to have mounted it
        mounted => mounted.context(|| format!("mount {kind} on {target}")),
    }
}

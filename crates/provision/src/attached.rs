//! Drives that have to be mounted, and the modules that takes.
//!
//! Mounted for as long as something is done with it; read-only unless something is to be erased.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use provision::Found;
use provision::source::{ConfigDrive, LabelledDrive, Source, SourceError};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Where.
pub(crate) const MOUNT_POINT: &str = "/run/keelson/config-drive";
/// What a file system's driver needs; the kernel cannot ask for modules before systemd runs.
const MODULES: &[(&str, &[&str])] = &[
    ("iso9660", &["isofs"]),
    ("vfat", &["vfat", "nls_cp437", "nls_ascii"]),
];

/// One that was found by its label.
#[derive(Debug)]
pub(crate) struct AttachedDrive(pub(crate) LabelledDrive);

/// Loads modules of the root; one that cannot be loaded may be built in.
pub(crate) fn load_modules(modules: &[&str]) {
    let loaded = Command::new("/usr/sbin/modprobe")
        .args(["--quiet", "--all"])
        .args(modules)
        .status();
    if let Err(error) = loaded {
        println!("provision: cannot load {}: {error}", modules.join(", "));
    }
}

impl AttachedDrive {
    fn mounted(&self) -> ConfigDrive {
        ConfigDrive {
            kind: self.0.kind,
            mounted: MOUNT_POINT.into(),
        }
    }
}

/// Does something with a device while it is mounted at [`MOUNT_POINT`].
pub(crate) fn with_mounted<T>(
    device: &Path,
    file_system: &'static str,
    how: MountFlags,
    work: impl FnOnce() -> T,
) -> io::Result<T> {
    let modules = MODULES.iter().find(|(name, _)| *name == file_system);
    load_modules(modules.map_or(&[], |(_, modules)| modules));
    fs::create_dir_all(MOUNT_POINT)?;
    let flags = how | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(device, MOUNT_POINT, file_system, flags, c"")?;
    let done = work();
    if let Err(error) = unmount(Path::new(MOUNT_POINT), UnmountFlags::DETACH) {
        println!("provision: cannot unmount {MOUNT_POINT}: {error}");
    }
    Ok(done)
}

impl Source for AttachedDrive {
    fn name(&self) -> String {
        self.mounted().name()
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        let drive = &self.0;
        let (device, kind) = (&drive.device, drive.label.file_system);
        let found = with_mounted(device, kind, MountFlags::RDONLY, || self.mounted().look());
        found.map_err(|source| SourceError::Read {
            path: device.clone(),
            source,
        })?
    }
}

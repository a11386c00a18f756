//! Drives that have to be mounted to be read, and the modules that takes.
//!
//! Mounted read-only, for as long as it is read.

use std::fs;
use std::path::Path;
use std::process::Command;

use provision::Found;
use provision::source::{ConfigDrive, LabelledDrive, Source, SourceError};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Where.
const MOUNT_POINT: &str = "/run/keelson/config-drive";
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

    fn mount(&self) -> std::io::Result<()> {
        let kind = self.0.label.file_system;
        let modules = MODULES.iter().find(|(name, _)| *name == kind);
        load_modules(modules.map_or(&[], |(_, modules)| modules));
        fs::create_dir_all(MOUNT_POINT)?;
        let flags =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        Ok(mount(&self.0.device, MOUNT_POINT, kind, flags, c"")?)
    }
}

impl Source for AttachedDrive {
    fn name(&self) -> String {
        self.mounted().name()
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        self.mount().map_err(|source| SourceError::Read {
            path: self.0.device.clone(),
            source,
        })?;
        let found = self.mounted().look();
        let unmounted = unmount(Path::new(MOUNT_POINT), UnmountFlags::DETACH);
        if let Err(error) = unmounted {
            println!("provision: cannot unmount {MOUNT_POINT}: {error}");
        }
        found
    }
}

//! The machine's block devices, by the names that a configuration has for them.
//!
//! `/init` has no udev: of the links that it makes, those by a partition's label are found here without it.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use disk_format::gpt::SectorSize;
use rustix::fs::OFlags;

const BY_LABEL: &str = "/dev/disk/by-partlabel/";

/// Where they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
    /// `/run`, where `/init` says what state is on.
    pub run: PathBuf,
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            dev: "/dev".into(),
            run: "/run".into(),
        }
    }
}

impl Devices {
    /// The device node; the reason in words if there is none.
    pub(super) fn find(&self, name: &str) -> Result<PathBuf, String> {
        if let Some(label) = name.strip_prefix(BY_LABEL) {
            return self.by_label(label);
        }
        let rest = name.strip_prefix("/dev/").unwrap_or(name);
        let path = self.dev.join(rest);
        if path.exists() {
            return Ok(path);
        }
        if rest.contains('/') {
            return Err(format!(
                "{name} is not there: before systemd runs there are names such as /dev/vdb and {BY_LABEL}LABEL"
            ));
        }
        Err(format!("{name} is not there"))
    }

    fn by_label(&self, label: &str) -> Result<PathBuf, String> {
        let entries = fs::read_dir(self.sys.join("class/block"));
        let entries = entries.into_iter().flatten().flatten();
        let is_it = |folder: &Path| {
            let text = fs::read_to_string(folder.join("uevent")).unwrap_or_default();
            let mut lines = text.lines();
            lines.any(|line| line.strip_prefix("PARTNAME=") == Some(label))
        };
        let mut found = entries.filter(|entry| is_it(&entry.path()));
        match (found.next(), found.next()) {
            (None, _) => Err(format!("there is no partition with the label {label}")),
            (Some(one), None) => Ok(self.dev.join(one.file_name())),
            (Some(_), Some(_)) => Err(format!("several partitions have the label {label}")),
        }
    }

    /// As the kernel says; files that stand for disks have small ones.
    pub(super) fn sector_size(&self, device: &Path) -> Result<SectorSize, String> {
        let name = device.file_name().unwrap_or_default();
        let file = self
            .sys
            .join("class/block")
            .join(name)
            .join("queue/logical_block_size");
        let Ok(text) = fs::read_to_string(&file) else {
            return Ok(SectorSize::Bytes512);
        };
        let bytes: u64 = text
            .trim()
            .parse()
            .map_err(|_| format!("{} is no number", file.display()))?;
        SectorSize::try_from(bytes).map_err(|error| error.to_string())
    }
}

/// Opens a device that nobody uses: it is mounted nowhere, nor is a part of it, and nothing is made of it. So the disk
/// that the machine runs from is never touched.
pub(super) fn open_unused(device: &Path) -> Result<File, String> {
    let flags = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
    let opened = File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(device);
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => format!("{} is in use", device.display()),
        _ => format!("{} cannot be opened: {error}", device.display()),
    })
}

/// How many bytes a device has.
pub(super) fn length(mut device: &File) -> io::Result<u64> {
    device.seek(SeekFrom::End(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_the_kernels_names_and_labels() {
        let base = tempfile::tempdir().unwrap();
        let devices = Devices {
            sys: base.path().join("sys"),
            dev: base.path().join("dev"),
            run: base.path().join("run"),
        };
        for (name, label) in [("vdb1", "data"), ("vdb2", "log"), ("vdc1", "log")] {
            let folder = devices.sys.join("class/block").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(
                folder.join("uevent"),
                format!("PARTN=1\nPARTNAME={label}\n"),
            )
            .unwrap();
        }
        fs::create_dir_all(&devices.dev).unwrap();
        fs::write(devices.dev.join("vdb"), "").unwrap();
        let find = |name: &str| devices.find(name);
        assert_eq!(find("/dev/vdb"), Ok(devices.dev.join("vdb")));
        assert_eq!(
            find("/dev/disk/by-partlabel/data"),
            Ok(devices.dev.join("vdb1"))
        );
        for (name, part) in [
            ("/dev/vdx", "is not there"),
            ("/dev/disk/by-id/x", "before systemd runs"),
            ("/dev/disk/by-partlabel/log", "several"),
            ("/dev/disk/by-partlabel/none", "no partition"),
        ] {
            let error = find(name).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}

//! QEMU's `fw_cfg` device, as the kernel's module shows it below `/sys`.
//!
//! `-fw_cfg name=opt/org.keelson/config,file=FILE`; Ignition's name is read too.

use std::path::{Path, PathBuf};

use super::{Source, SourceError, read};
use crate::run::{Afterwards, Found};

/// Below `/sys`.
const ITEMS: &str = "firmware/qemu_fw_cfg/by_name";
/// Names of items, ours first.
const NAMES: [&str; 2] = ["opt/org.keelson/config", "opt/com.coreos/config"];

/// An item of the device.
#[derive(Debug)]
pub struct FirmwareConfiguration {
    name: &'static str,
    file: PathBuf,
}

impl FirmwareConfiguration {
    /// All items that count, below a `/sys`.
    pub fn all(sys: &Path) -> Vec<Self> {
        let item = |name| Self {
            name,
            file: sys.join(ITEMS).join(name).join("raw"),
        };
        NAMES.map(item).into()
    }
}

impl Source for FirmwareConfiguration {
    fn name(&self) -> String {
        format!("QEMU fw_cfg {}", self.name)
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        let bytes = read(&self.file)?;
        Ok(bytes.map(|bytes| Found {
            bytes,
            source: self.name(),
            name: self.name.to_owned(),
            afterwards: Afterwards::Stays,
        }))
    }
}

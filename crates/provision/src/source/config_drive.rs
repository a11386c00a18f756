//! A drive that a cloud attaches: OpenStack's with the label `config-2`, NoCloud's with `cidata`.
//!
//! Of what is on it the user data is read; what the cloud says of the machine is not.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{HEAD_LENGTH, Label, Source, SourceError, label, read};
use crate::run::{Afterwards, Found};

/// Kinds of drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drive {
    /// OpenStack's.
    OpenStack,
    /// NoCloud's.
    NoCloud,
}

impl Drive {
    /// The kind of a file system's label, in whatever case: FAT's are in capitals.
    pub fn of_label(label: &str) -> Option<Self> {
        match label.to_ascii_lowercase().as_str() {
            "config-2" => Some(Self::OpenStack),
            "cidata" => Some(Self::NoCloud),
            _ => None,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::OpenStack => "config-2",
            Self::NoCloud => "cidata",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::OpenStack => "openstack/latest/user_data",
            Self::NoCloud => "user-data",
        }
    }
}

/// Devices that are somebody's view of another, or of memory.
const NO_DRIVES: &[&str] = &["dm-", "loop", "ram", "zram"];

/// One that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledDrive {
    /// Of which kind.
    pub kind: Drive,
    /// Its device node.
    pub device: PathBuf,
    /// What is on it.
    pub label: Label,
}

/// All that are attached, OpenStack's first; what cannot be read is none. Devices are named as below
/// `sys` and read below `dev`.
pub fn find_drives(sys: &Path, dev: &Path) -> Vec<LabelledDrive> {
    let entries = std::fs::read_dir(sys.join("class/block"));
    let entries = entries.into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_drive = |name: &String| !NO_DRIVES.iter().any(|start| name.starts_with(start));
    let mut drives: Vec<_> = names
        .filter(is_drive)
        .filter_map(|name| look(dev.join(name)))
        .collect();
    drives.sort_by(|one, other| (one.kind, &one.device).cmp(&(other.kind, &other.device)));
    drives
}

fn look(device: PathBuf) -> Option<LabelledDrive> {
    let mut head = Vec::new();
    let file = std::fs::File::open(&device).ok()?;
    file.take(HEAD_LENGTH as u64).read_to_end(&mut head).ok()?;
    let label = label(&head)?;
    Some(LabelledDrive {
        kind: Drive::of_label(&label.text)?,
        device,
        label,
    })
}

/// One that is mounted.
#[derive(Debug)]
pub struct ConfigDrive {
    /// Of which kind.
    pub kind: Drive,
    /// Where.
    pub mounted: PathBuf,
}

impl Source for ConfigDrive {
    fn name(&self) -> String {
        format!("the config drive {}", self.kind.label())
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        let file = self.kind.file();
        let bytes = read(&self.mounted.join(file))?;
        // Both clouds write an empty file when their user gave nothing.
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        Ok(bytes.map(|bytes| Found {
            bytes,
            source: format!("{file} on {}", self.name()),
            name: file.to_owned(),
            afterwards: Afterwards::Stays,
        }))
    }
}

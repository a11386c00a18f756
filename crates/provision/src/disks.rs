//! Disks beside the machine's own: partitioned, and file systems made on them, unless they are there.
//!
//! A disk in use is refused, so that the machine's own is never touched. They are judged before anything is applied,
//! as far as they can be: what is on a partition that is not there yet shows when it is.

mod device;
mod file_system;
mod layout;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use disk_format::gpt::PartitionTable;
use machine_facts::provision_record::{Change, Step};
use provision_model::Plan;
use provision_model::plan::{Disk, FileSystem};
use uuid::Uuid;

pub use device::Devices;
use file_system::Decision;

use crate::findings::Findings;
use crate::operation::{Manner, Operation};
use crate::prepare::Preparation;

/// A new one each time it is read.
const NEW_GUID: &str = "/proc/sys/kernel/random/uuid";

const NOT_HERE: &str = "disks are prepared by the machine itself alone, at its first boot";

/// A disk's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskWork {
    devices: Devices,
    device: PathBuf,
    disk: Disk,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSystemWork {
    devices: Devices,
    wanted: FileSystem,
}

/// Holds what is wanted against the machine, and adds what has to be done.
pub(crate) fn add(plan: &Plan, devices: Option<&Devices>, preparation: &mut Preparation<'_>) {
    let disks = plan.disks.iter().map(|one| &one.key);
    let mut keys = disks.chain(plan.file_systems.iter().map(|one| &one.key));
    let Some(devices) = devices else {
        if let Some(key) = keys.next() {
            preparation.findings.add(key, NOT_HERE);
        }
        return;
    };
    for one in &plan.disks {
        let judged = judge_disk(&one.value, devices);
        if let Some(work) = preparation.findings.take(&one.key, judged) {
            preparation.operations.push(Operation::Disk(work));
        }
    }
    for one in &plan.file_systems {
        let judged = judge_file_system(&one.value, &plan.disks, devices);
        if let Some(work) = preparation.findings.take(&one.key, judged) {
            preparation.operations.push(Operation::FileSystem(work));
        }
    }
}

/// Whether state is where a plan wants it: nothing else is worth a look, or the network, if it is not.
pub(crate) fn judge_state(plan: &Plan, devices: Option<&Devices>, findings: &mut Findings) {
    if let Some(one) = &plan.state {
        let judged = match devices {
            Some(devices) => state::judge(&one.value.site, &devices.run),
            None => Err(NOT_HERE.to_owned()),
        };
        findings.take(&one.key, judged);
    }
}

fn judge_disk(disk: &Disk, devices: &Devices) -> Result<DiskWork, String> {
    let work = DiskWork {
        devices: devices.clone(),
        device: devices.find(&disk.device)?,
        disk: disk.clone(),
    };
    work.tables()?;
    Ok(work)
}

fn judge_file_system(
    wanted: &FileSystem,
    disks: &[provision_model::plan::Stated<Disk>],
    devices: &Devices,
) -> Result<FileSystemWork, String> {
    let work = FileSystemWork {
        devices: devices.clone(),
        wanted: wanted.clone(),
    };
    match devices.find(&wanted.device) {
        // It comes with its disk's table, or is not what it is now.
        _ if disks.iter().any(|one| may_make(&one.value, &wanted.device)) => Ok(work),
        Err(problem) => Err(problem),
        Ok(device) => {
            drop(device::open_unused(&device)?);
            let found = file_system::look(&device).map_err(|error| error.to_string())?;
            file_system::decide(wanted, found.as_ref())?;
            Ok(work)
        }
    }
}

/// Whether a device may be a partition of a disk that is partitioned here.
fn may_make(disk: &Disk, device: &str) -> bool {
    let by_label = device.strip_prefix("/dev/disk/by-partlabel/");
    let mut labels = disk
        .partitions
        .iter()
        .filter_map(|one| one.label.as_deref());
    device
        .strip_prefix(&disk.device)
        .is_some_and(|rest| !rest.is_empty())
        || by_label.is_some_and(|label| labels.any(|one| one == label))
}

impl DiskWork {
    /// The table that is there, if there is one, and the one that is wanted.
    fn tables(&self) -> Result<(Option<PartitionTable>, PartitionTable), String> {
        // Before anything is laid out, it is known that there are new GUIDs.
        new_guid().map_err(|error| format!("cannot read {NEW_GUID}: {error}"))?;
        let mut new_guid = || new_guid().unwrap_or_default();
        let mut file = device::open_unused(&self.device)?;
        let length = device::length(&file).map_err(|error| error.to_string())?;
        let sector_size = self.devices.sector_size(&self.device)?;
        let old = PartitionTable::read(&mut file, sector_size).ok();
        let kept = old.clone().filter(|_| !self.disk.is_wiped);
        if kept.is_none() && !self.disk.is_wiped {
            self.check_blank()?;
        }
        let mut new = match kept {
            Some(table) => table,
            None => PartitionTable {
                disk_guid: new_guid(),
                sector_size,
                partitions: BTreeMap::new(),
            },
        };
        layout::lay_out(&mut new, &self.disk, length, &mut new_guid)?;
        Ok((old, new))
    }

    /// What is no GPT may be somebody's all the same.
    fn check_blank(&self) -> Result<(), String> {
        match file_system::look(&self.device) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(format!(
                "{} has something on it that is no GPT: wipeTable replaces it",
                self.disk.device
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn perform(&self, manner: Manner) -> io::Result<Vec<Step>> {
        let (old, new) = self.tables().map_err(io::Error::other)?;
        let what = format!("partitions of {}", self.disk.device);
        if old.as_ref() == Some(&new) {
            return Ok(vec![Step {
                change: Change::Unchanged,
                what,
            }]);
        }
        if manner == Manner::Really {
            let mut file = device::open_unused(&self.device).map_err(io::Error::other)?;
            let length = device::length(&file)?;
            new.write(&mut file, length).map_err(io::Error::other)?;
            drop(file);
            show_kernel(&self.device)?;
        }
        let change = if old.is_some() {
            Change::Changed
        } else {
            Change::Created
        };
        Ok(vec![Step { change, what }])
    }

    pub(crate) fn name(&self) -> String {
        format!("the partitions of {}", self.disk.device)
    }
}

impl FileSystemWork {
    pub(crate) fn perform(&self, manner: Manner) -> io::Result<Vec<Step>> {
        let what = self.name();
        let device = match self.devices.find(&self.wanted.device) {
            Err(_) if manner == Manner::DryRun => {
                return Ok(vec![Step {
                    change: Change::Created,
                    what,
                }]);
            }
            found => found.map_err(io::Error::other)?,
        };
        drop(device::open_unused(&device).map_err(io::Error::other)?);
        let found = file_system::look(&device)?;
        let decision = file_system::decide(&self.wanted, found.as_ref());
        let change = match decision.map_err(io::Error::other)? {
            Decision::Keep => Change::Unchanged,
            Decision::Make => Change::Created,
        };
        if change == Change::Created && manner == Manner::Really {
            file_system::make(&self.wanted, &device)?;
        }
        Ok(vec![Step { change, what }])
    }

    pub(crate) fn name(&self) -> String {
        format!("{} on {}", self.wanted.format, self.wanted.device)
    }
}

/// The kernel looks at a table when it is told to.
fn show_kernel(device: &Path) -> io::Result<()> {
    if !std::fs::metadata(device)?.file_type().is_block_device() {
        return Ok(());
    }
    let output = Command::new("/usr/sbin/blockdev")
        .arg("--rereadpt")
        .arg(device)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "blockdev --rereadpt: {}",
        said.trim()
    )))
}

/// From the kernel.
fn new_guid() -> io::Result<Uuid> {
    let text = std::fs::read_to_string(NEW_GUID)?;
    Uuid::parse_str(text.trim()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;

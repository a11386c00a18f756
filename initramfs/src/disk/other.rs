//! A disk beside the one that is booted from: by the name that a configuration has for it, or the partition on it by the
//! GUID that is its own.
//!
//! Pure: it is given what there is and returns a choice. Two that fit are none: neither is more right.
use disk_format::gpt::{Partition, PartitionTable};
use disk_format::state_disk::DiskName;
use uuid::Uuid;

use crate::disk::block_device::{Contents, Disk};
use crate::disk::identity::Identity;

/// A partition of such a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherPartition {
    /// The disk.
    pub(crate) disk: Disk,
    /// Its partition table.
    pub(crate) table: PartitionTable,
    /// The partition's number.
    pub(crate) number: u32,
}

/// What a configuration's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A whole disk.
    Disk(Disk),
    /// A partition that somebody has made.
    Partition(OtherPartition),
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFound {
    /// Another disk may still appear.
    #[error("no disk here has it ({seen})")]
    NotYet {
        /// What the disks here are.
        seen: String,
    },
    /// More than one fits.
    #[error("{devices} both have it: remove one")]
    Ambiguous {
        /// Their device nodes.
        devices: String,
    },
    /// It would be the one that is booted from.
    #[error("{device} is the disk that is booted from")]
    BootDisk {
        /// Its device node.
        device: String,
    },
}

impl NotFound {
    /// Whether waiting longer is pointless.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::NotYet { .. })
    }
}

impl OtherPartition {
    /// Its device node.
    pub(crate) fn path(&self) -> String {
        self.disk.partition_path(self.number)
    }

    /// Its entry in the table.
    pub(crate) fn entry(&self) -> Option<&Partition> {
        self.table.partitions.get(&self.number)
    }
}

/// The disk or partition with a name; `identity` says what a disk says of itself.
pub(crate) fn by_name(
    disks: &[Disk],
    boot_disk: &str,
    name: &DiskName,
    identity: impl Fn(&str) -> Identity,
) -> Result<Place, NotFound> {
    if let DiskName::PartitionLabel(label) = name {
        let others = others(disks, boot_disk);
        let found = others.filter_map(|disk| partition(disk, |entry| entry.name == *label));
        return one(found.collect(), OtherPartition::path, disks).map(Place::Partition);
    }
    let has_it = |disk: &&Disk| {
        let identity = identity(&disk.name);
        match name {
            DiskName::Serial(serial) => identity.serial.as_ref() == Some(serial),
            DiskName::Wwid(wwid) => identity.wwid.as_ref() == Some(wwid),
            DiskName::PartitionLabel(_) => false,
        }
    };
    let found: Vec<Disk> = disks.iter().filter(has_it).cloned().collect();
    let disk = one(found, Disk::path, disks)?;
    if disk.name == boot_disk {
        let device = disk.path();
        return Err(NotFound::BootDisk { device });
    }
    Ok(Place::Disk(disk))
}

/// The partition with a GUID.
pub(crate) fn by_guid(
    disks: &[Disk],
    boot_disk: &str,
    guid: Uuid,
) -> Result<OtherPartition, NotFound> {
    let found =
        others(disks, boot_disk).filter_map(|disk| partition(disk, |entry| entry.guid == guid));
    one(found.collect(), OtherPartition::path, disks)
}

fn others<'a>(disks: &'a [Disk], boot_disk: &'a str) -> impl Iterator<Item = &'a Disk> {
    disks.iter().filter(move |disk| disk.name != boot_disk)
}

fn partition(disk: &Disk, is_it: impl Fn(&Partition) -> bool) -> Option<OtherPartition> {
    let Contents::Partitioned(table) = &disk.contents else {
        return None;
    };
    let (number, _) = table.partitions.iter().find(|(_, entry)| is_it(entry))?;
    Some(OtherPartition {
        disk: disk.clone(),
        table: table.clone(),
        number: *number,
    })
}

fn one<T>(mut found: Vec<T>, path: impl Fn(&T) -> String, disks: &[Disk]) -> Result<T, NotFound> {
    let paths: Vec<String> = found.iter().map(path).collect();
    match found.pop() {
        Some(one) if found.is_empty() => Ok(one),
        Some(_) => Err(NotFound::Ambiguous {
            devices: paths.join(" and "),
        }),
        None => {
            let seen: Vec<String> = disks.iter().map(Disk::path).collect();
            let seen = seen.join(", ");
            Err(NotFound::NotYet { seen })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk_format::gpt::{SectorSize, partition_type};
    use std::collections::BTreeMap;

    /// With partitions of these labels, and GUIDs from this number on.
    fn disk(name: &str, labels: &[&str], first_guid: u128) -> Disk {
        let mut partitions = BTreeMap::new();
        for (number, label) in (1..).zip(labels) {
            let entry = Partition {
                type_guid: partition_type::LINUX_GENERIC,
                guid: Uuid::from_u128(first_guid + u128::from(number)),
                name: (*label).to_owned(),
                attributes: 0,
                start_bytes: u64::from(number) << 20,
                length_bytes: 1 << 20,
            };
            partitions.insert(number, entry);
        }
        let table = PartitionTable {
            disk_guid: Uuid::from_u128(first_guid),
            sector_size: SectorSize::Bytes512,
            partitions,
        };
        Disk {
            name: name.to_owned(),
            length_bytes: 64 << 20,
            contents: Contents::Partitioned(table),
        }
    }

    fn blank(name: &str) -> Disk {
        let contents = Contents::Unreadable("blank".to_owned());
        Disk {
            contents,
            ..disk(name, &[], 1)
        }
    }

    /// Every disk's serial number is its name, but `vdx` and `vdy` have one and the same.
    fn identity(name: &str) -> Identity {
        let serial = if name == "vdy" { "vdx" } else { name };
        Identity {
            serial: Some(serial.to_owned()),
            wwid: Some(format!("naa.{name}")),
        }
    }

    fn find(disks: &[Disk], name: &str) -> Result<Place, NotFound> {
        by_name(disks, "vda", &name.parse().unwrap(), identity)
    }

    #[test]
    fn disks_are_found_by_what_they_say() {
        let disks = ["vda", "vdb", "vdx", "vdy"].map(blank);
        assert_eq!(find(&disks, "serial vdb"), Ok(Place::Disk(blank("vdb"))));
        assert_eq!(find(&disks, "wwid naa.vdx"), Ok(Place::Disk(blank("vdx"))));
        for (name, told, is_final) in [
            ("serial vdx", "/dev/vdx and /dev/vdy both have it", true),
            (
                "serial vda",
                "/dev/vda is the disk that is booted from",
                true,
            ),
            (
                "serial vdz",
                "no disk here has it (/dev/vda, /dev/vdb",
                false,
            ),
            ("partition-label data", "no disk here has it", false),
        ] {
            let error = find(&disks, name).unwrap_err();
            assert!(error.to_string().starts_with(told), "{error}");
            assert_eq!(error.is_final(), is_final);
        }
    }

    #[test]
    fn partitions_are_found_by_label_and_by_guid_but_not_on_the_boot_disk() {
        let disks = [
            disk("vda", &["state", "data"], 10),
            disk("vdb", &["log", "data"], 20),
            disk("vdc", &["log"], 30),
        ];
        let data = OtherPartition {
            disk: disks[1].clone(),
            table: match &disks[1].contents {
                Contents::Partitioned(table) => table.clone(),
                Contents::Unreadable(_) => unreachable!(),
            },
            number: 2,
        };
        assert_eq!(data.path(), "/dev/vdb2");
        let found = find(&disks, "partition-label data");
        assert_eq!(found, Ok(Place::Partition(data.clone())));
        assert_eq!(by_guid(&disks, "vda", Uuid::from_u128(22)), Ok(data));
        assert!(find(&disks, "partition-label state").is_err());
        let error = find(&disks, "partition-label log").unwrap_err();
        assert!(
            error.to_string().contains("/dev/vdb1 and /dev/vdc1"),
            "{error}"
        );
        assert!(by_guid(&disks, "vda", Uuid::from_u128(12)).is_err());
        // A copy of the disk, block by block.
        let copied = [disks[1].clone(), disk("vdd", &["log", "data"], 20)];
        let error = by_guid(&copied, "vda", Uuid::from_u128(22)).unwrap_err();
        assert!(error.is_final(), "{error}");
    }
}

//! Disks and file systems, as far as the image has programs for them.
//!
//! What it has none for is refused by name: other file systems, growing partitions, removing them.

use ignition_config::v3_5::{Disk, Filesystem, Partition, Storage};
use uuid::Uuid;

use super::reading::Reading;
use crate::key_path::KeyPath;
use crate::plan::{self, FileSystem, FileSystemFormat, Plan, Stated};

/// Reads both lists.
pub(super) fn read(storage: &Storage, key: &KeyPath, reading: &mut Reading, plan: &mut Plan) {
    for (index, one) in storage.disks.iter().flatten().enumerate() {
        let key = key.key("disks").index(index);
        let disk = disk(one, &key, reading);
        plan.disks.push(Stated::new(disk, key));
    }
    for (index, one) in storage.filesystems.iter().flatten().enumerate() {
        let key = key.key("filesystems").index(index);
        if let Some(file_system) = file_system(one, &key, reading) {
            plan.file_systems.push(Stated::new(file_system, key));
        }
    }
}

fn disk(disk: &Disk, key: &KeyPath, reading: &mut Reading) -> plan::Disk {
    let list = disk.partitions.iter().flatten().enumerate();
    let partitions =
        list.map(|(index, one)| partition(one, &key.key("partitions").index(index), reading));
    plan::Disk {
        device: disk.device.clone(),
        is_wiped: disk.wipe_table == Some(true),
        partitions: partitions.collect(),
    }
}

fn partition(one: &Partition, key: &KeyPath, reading: &mut Reading) -> plan::Partition {
    if one.should_exist == Some(false) {
        let text = "not supported: a partition is only replaced (wipePartitionEntry), or all go (wipeTable)";
        reading.problem(&key.key("shouldExist"), text);
    }
    if one.resize == Some(true) {
        let text = "not supported: the image has nothing to grow what is in it";
        reading.problem(&key.key("resize"), text);
    }
    // For Ignition 0 is as good as nothing.
    let number = reading.number(one.number, &key.key("number"));
    let mut mib = |value: Option<i64>, name: &str| {
        let value = reading.number(value, &key.key(name)).map(u64::from);
        value.filter(|value| *value > 0)
    };
    let (start_mib, size_mib) = (mib(one.start_mib, "startMiB"), mib(one.size_mib, "sizeMiB"));
    let partition = plan::Partition {
        number: number.filter(|number| *number > 0),
        label: one.label.clone().filter(|label| !label.is_empty()),
        start_mib,
        size_mib,
        type_guid: guid(one.type_guid.as_deref(), &key.key("typeGuid"), reading),
        guid: guid(one.guid.as_deref(), &key.key("guid"), reading),
        replaces: one.wipe_partition_entry == Some(true),
    };
    if partition.number.is_none() && partition.label.is_none() {
        reading.problem(key, "has neither a number nor a label");
    }
    partition
}

fn guid(text: Option<&str>, key: &KeyPath, reading: &mut Reading) -> Option<Uuid> {
    let text = text.filter(|text| !text.is_empty())?;
    let guid = Uuid::parse_str(text).ok();
    if guid.is_none() {
        reading.problem(key, format!("{text:?} is no GUID"));
    }
    guid
}

fn file_system(one: &Filesystem, key: &KeyPath, reading: &mut Reading) -> Option<FileSystem> {
    let name = one.format.as_deref().unwrap_or_default();
    let mut formats = FileSystemFormat::ALL.into_iter();
    let Some(format) = formats.find(|format| format.to_string() == name) else {
        let text = format!("{name:?} is not supported: the image makes ext4, vfat and swap");
        reading.problem(&key.key("format"), text);
        return None;
    };
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Some(FileSystem {
        device: one.device.clone(),
        format,
        label: filled(&one.label),
        uuid: filled(&one.uuid),
        options: one.options.clone().unwrap_or_default(),
        is_wiped: one.wipe_filesystem == Some(true),
        path: filled(&one.path),
    })
}

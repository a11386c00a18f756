//! Machines with several disks, described as values.
use std::collections::BTreeMap;

use disk_format::gpt::{Partition, SectorSize};

use super::*;

const MIB: u64 = 1 << 20;
const ESP_GUID: Uuid = Uuid::from_u128(0xe5);

fn root_hash() -> RootHash {
    RootHash(std::array::from_fn(|index| u8::try_from(index).unwrap()))
}

fn partition(name: &str, type_guid: Uuid, guid: Uuid, position: u64) -> Partition {
    Partition {
        type_guid,
        guid,
        name: name.to_owned(),
        attributes: 0,
        start_bytes: position * MIB,
        length_bytes: MIB,
    }
}

/// A disk as the image makes it, with this ESP and the slot b booted.
fn installed(name: &str, esp: Uuid) -> Disk {
    let hash = root_hash();
    let entries = [
        partition("esp", partition_type::ESP, esp, 1),
        partition(
            "root-a",
            partition_type::ROOT_X86_64,
            Uuid::from_u128(0xa),
            2,
        ),
        partition(
            "root-a-verity",
            partition_type::ROOT_X86_64_VERITY,
            Uuid::from_u128(0xaa),
            3,
        ),
        partition(
            "root-b",
            partition_type::ROOT_X86_64,
            hash.data_partition_guid(),
            4,
        ),
        partition(
            "root-b-verity",
            partition_type::ROOT_X86_64_VERITY,
            hash.hash_partition_guid(),
            5,
        ),
        partition("meta", partition_type::KEELSON_META, Uuid::from_u128(6), 6),
        partition(
            "state",
            partition_type::LINUX_GENERIC,
            Uuid::from_u128(7),
            7,
        ),
    ];
    disk(name, (1..).zip(entries).collect())
}

fn disk(name: &str, partitions: BTreeMap<u32, Partition>) -> Disk {
    let table = PartitionTable {
        disk_guid: Uuid::from_u128(1),
        sector_size: SectorSize::Bytes512,
        partitions,
    };
    Disk {
        name: name.to_owned(),
        length_bytes: 64 * MIB,
        contents: Contents::Partitioned(table),
    }
}

fn without(mut disk: Disk, number: u32) -> Disk {
    if let Contents::Partitioned(table) = &mut disk.contents {
        table.partitions.remove(&number);
    }
    disk
}

fn blank(name: &str) -> Disk {
    let contents = Contents::Unreadable("no magic".to_owned());
    Disk {
        name: name.to_owned(),
        length_bytes: MIB,
        contents,
    }
}

#[test]
fn the_only_disk_with_the_root_is_taken() {
    let disks = [blank("sda"), installed("vda", ESP_GUID)];
    let chosen = choose(&disks, &Criterion::OnlyRoot, &root_hash()).unwrap();
    assert_eq!(chosen.disk.name, "vda");
    assert_eq!((chosen.root, chosen.verity), (4, 5));
    assert_eq!(
        (chosen.esp, chosen.meta, chosen.state),
        (Some(1), Some(6), Some(7))
    );
    assert_eq!(chosen.slot(), "b");
    assert_eq!(chosen.path(chosen.root), "/dev/vda4");
    assert_eq!(
        chosen.used_partitions().collect::<Vec<_>>(),
        [4, 5, 1, 6, 7]
    );
}

#[test]
fn two_disks_with_the_root_are_an_error_that_names_them() {
    let disks = [installed("sda", ESP_GUID), installed("sdb", ESP_GUID)];
    let error = choose(&disks, &Criterion::OnlyRoot, &root_hash())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/dev/sda and /dev/sdb all hold"),
        "{error}"
    );
    assert!(error.contains("keelson.disk="), "{error}");
}

#[test]
fn the_command_line_settles_it() {
    let disks = [installed("sda", ESP_GUID), installed("sdb", ESP_GUID)];
    let named = |name: &str| choose(&disks, &Criterion::Named(name.to_owned()), &root_hash());
    assert_eq!(named("sdb").unwrap().disk.name, "sdb");
    let error = named("sdc").unwrap_err().to_string();
    assert!(
        error.contains("/dev/sda: is not the one keelson.disk= names; /dev/sdb"),
        "{error}"
    );
}

#[test]
fn only_the_boot_loaders_disk_is_taken() {
    let disks = [
        installed("sda", Uuid::from_u128(0x99)),
        installed("sdb", ESP_GUID),
    ];
    let chosen = choose(&disks, &Criterion::Esp(ESP_GUID), &root_hash()).unwrap();
    assert_eq!(chosen.disk.name, "sdb");
    let error = choose(&disks[..1], &Criterion::Esp(ESP_GUID), &root_hash()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/dev/sda: not the disk of the boot loader's ESP")
    );
}

#[test]
fn a_copied_esp_is_ambiguous_too() {
    let disks = [installed("sda", ESP_GUID), installed("sdb", ESP_GUID)];
    let error = choose(&disks, &Criterion::Esp(ESP_GUID), &root_hash()).unwrap_err();
    assert!(matches!(error, NoDisk::Ambiguous { .. }));
}

#[test]
fn every_disk_is_listed_with_its_reason() {
    let disks = [
        blank("sda"),
        without(installed("sdb", ESP_GUID), 4),
        without(installed("sdc", ESP_GUID), 5),
    ];
    let error = choose(&disks, &Criterion::OnlyRoot, &root_hash())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/dev/sda: no partition table (no magic); "),
        "{error}"
    );
    assert!(
        error.contains("/dev/sdb: no root partition 00010203-0405-"),
        "{error}"
    );
    assert!(
        error.contains("/dev/sdc: no verity partition 10111213-"),
        "{error}"
    );
    let error = choose(&[], &Criterion::OnlyRoot, &root_hash())
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("there are no disks"), "{error}");
}

#[test]
fn esp_meta_and_state_may_be_missing() {
    let disk = without(without(without(installed("vda", ESP_GUID), 1), 6), 7);
    let chosen = choose(&[disk], &Criterion::OnlyRoot, &root_hash()).unwrap();
    assert_eq!((chosen.esp, chosen.meta, chosen.state), (None, None, None));
}

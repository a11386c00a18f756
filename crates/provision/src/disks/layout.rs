//! A partition table that has what is wanted, from one that is there or from none.
//!
//! Pure: sizes and new GUIDs are given. What is there and wanted stays as it is; nothing is moved.

use disk_format::gpt::{Partition as Entry, PartitionTable, partition_type};
use provision_model::plan::{Disk, Partition};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// Before the first partition, and behind the last one: the table's two copies.
const TABLE_MIB: u64 = 1;

/// Numbers a table has room for.
const NUMBERS: u32 = 128;

/// From and to, in MiB; the end is behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    start: u64,
    end: u64,
}

/// Puts what is wanted into a table of a disk of this length.
///
/// # Errors
/// In words, if it cannot be: there is no room, or something else is there.
pub(super) fn lay_out(
    table: &mut PartitionTable,
    wanted: &Disk,
    length_bytes: u64,
    new_guid: &mut dyn FnMut() -> Uuid,
) -> Result<(), String> {
    for partition in &wanted.partitions {
        let known = find(table, partition);
        match known {
            Some(number) if suits(&table.partitions[&number], partition) => {}
            Some(number) if partition.replaces => {
                table.partitions.remove(&number);
                add(table, partition, number, length_bytes, new_guid)?;
            }
            Some(number) => {
                return Err(format!(
                    "partition {number} is there and is another: wipePartitionEntry replaces it"
                ));
            }
            None => {
                let number = partition.number.or_else(|| free_number(table));
                let number = number.ok_or("all numbers of partitions are taken")?;
                add(table, partition, number, length_bytes, new_guid)?;
            }
        }
    }
    Ok(())
}

fn find(table: &PartitionTable, wanted: &Partition) -> Option<u32> {
    if let Some(number) = wanted.number {
        return table.partitions.contains_key(&number).then_some(number);
    }
    let (number, _) = table.by_name(wanted.label.as_deref()?)?;
    Some(number)
}

fn suits(entry: &Entry, wanted: &Partition) -> bool {
    let is = |wanted: Option<u64>, bytes: u64| wanted.is_none_or(|mib| mib * MIB == bytes);
    is(wanted.start_mib, entry.start_bytes)
        && is(wanted.size_mib, entry.length_bytes)
        && wanted
            .label
            .as_ref()
            .is_none_or(|label| *label == entry.name)
        && wanted.type_guid.is_none_or(|guid| guid == entry.type_guid)
        && wanted.guid.is_none_or(|guid| guid == entry.guid)
}

fn free_number(table: &PartitionTable) -> Option<u32> {
    (1..=NUMBERS).find(|number| !table.partitions.contains_key(number))
}

fn add(
    table: &mut PartitionTable,
    wanted: &Partition,
    number: u32,
    length_bytes: u64,
    new_guid: &mut dyn FnMut() -> Uuid,
) -> Result<(), String> {
    let gap = place(&gaps(table, length_bytes), wanted).ok_or_else(|| {
        let name = wanted.label.as_deref().unwrap_or_default();
        format!("there is no room for partition {number} {name}")
    })?;
    let entry = Entry {
        type_guid: wanted.type_guid.unwrap_or(partition_type::LINUX_GENERIC),
        guid: wanted.guid.unwrap_or_else(new_guid),
        name: wanted.label.clone().unwrap_or_default(),
        attributes: 0,
        start_bytes: gap.start * MIB,
        length_bytes: (gap.end - gap.start) * MIB,
    };
    table.partitions.insert(number, entry);
    Ok(())
}

/// What is free, in whole MiB.
fn gaps(table: &PartitionTable, length_bytes: u64) -> Vec<Gap> {
    let mut taken: Vec<_> = table.partitions.values().collect();
    taken.sort_by_key(|entry| entry.start_bytes);
    let mut gaps = Vec::new();
    let mut start = TABLE_MIB;
    for entry in taken {
        gaps.push(Gap {
            start,
            end: entry.start_bytes / MIB,
        });
        start = start.max(entry.end_bytes().div_ceil(MIB));
    }
    let end = (length_bytes / MIB).saturating_sub(TABLE_MIB);
    gaps.push(Gap { start, end });
    gaps.retain(|gap| gap.start < gap.end);
    gaps
}

/// Where it said, else in the largest.
fn place(gaps: &[Gap], wanted: &Partition) -> Option<Gap> {
    let gap = match wanted.start_mib {
        Some(start) => {
            let gap = gaps
                .iter()
                .find(|gap| (gap.start..gap.end).contains(&start))?;
            Gap { start, ..*gap }
        }
        None => *gaps.iter().max_by_key(|gap| gap.end - gap.start)?,
    };
    let end = match wanted.size_mib {
        Some(size) => gap.start.checked_add(size)?,
        None => gap.end,
    };
    (end <= gap.end).then_some(Gap { end, ..gap })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use disk_format::gpt::SectorSize;

    use super::*;

    const LENGTH: u64 = 100 * MIB;

    fn table() -> PartitionTable {
        PartitionTable {
            disk_guid: Uuid::from_u128(1),
            sector_size: SectorSize::Bytes512,
            partitions: BTreeMap::new(),
        }
    }

    fn named(label: &str, size_mib: Option<u64>) -> Partition {
        Partition {
            label: Some(label.to_owned()),
            size_mib,
            ..Partition::default()
        }
    }

    fn disk(partitions: Vec<Partition>) -> Disk {
        Disk {
            device: "/dev/vdb".to_owned(),
            is_wiped: false,
            partitions,
        }
    }

    fn lay(table: &mut PartitionTable, partitions: Vec<Partition>) -> Result<(), String> {
        let mut next = 100;
        lay_out(table, &disk(partitions), LENGTH, &mut || {
            next += 1;
            Uuid::from_u128(next)
        })
    }

    fn places(table: &PartitionTable) -> Vec<(u32, u64, u64)> {
        let entries = table.partitions.iter();
        entries
            .map(|(number, one)| (*number, one.start_bytes / MIB, one.length_bytes / MIB))
            .collect()
    }

    #[test]
    fn partitions_come_one_after_the_other_and_the_last_takes_the_rest() {
        let mut table = table();
        lay(&mut table, vec![named("a", Some(10)), named("b", None)]).unwrap();
        assert_eq!(places(&table), [(1, 1, 10), (2, 11, 88)]);
        assert_eq!(table.partitions[&1].name, "a");
        assert_eq!(
            table.partitions[&1].type_guid,
            partition_type::LINUX_GENERIC
        );
        assert_ne!(table.partitions[&1].guid, table.partitions[&2].guid);
        // What was written can be read, on a disk of just that length.
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(LENGTH).unwrap();
        table.write(&mut file, LENGTH).unwrap();
        let read = PartitionTable::read(&mut file, SectorSize::Bytes512).unwrap();
        assert_eq!(read, table);
    }

    #[test]
    fn what_is_there_stays_if_it_is_that() {
        let mut table = table();
        lay(&mut table, vec![named("a", Some(10))]).unwrap();
        let before = table.clone();
        lay(&mut table, vec![named("a", Some(10))]).unwrap();
        assert_eq!(table, before);
        lay(&mut table, vec![named("a", None)]).unwrap();
        assert_eq!(table, before, "of any size");
        let error = lay(&mut table, vec![named("a", Some(20))]).unwrap_err();
        assert!(error.contains("partition 1 is there"), "{error}");
        let replaces = Partition {
            replaces: true,
            ..named("a", Some(20))
        };
        lay(&mut table, vec![replaces]).unwrap();
        assert_eq!(places(&table), [(1, 1, 20)]);
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let mut table = table();
        let error = lay(&mut table, vec![named("a", Some(99))]).unwrap_err();
        assert_eq!(error, "there is no room for partition 1 a");
        let mut at = named("a", Some(10));
        at.start_mib = Some(50);
        lay(&mut table, vec![at]).unwrap();
        let mut over = named("b", Some(10));
        over.start_mib = Some(45);
        assert!(lay(&mut table, vec![over]).is_err());
        lay(&mut table, vec![named("c", None)]).unwrap();
        assert_eq!(places(&table), [(1, 50, 10), (2, 1, 49)], "the largest gap");
        let mut huge = named("d", Some(u64::from(u32::MAX)));
        huge.start_mib = Some(u64::from(u32::MAX));
        assert!(lay(&mut table, vec![huge]).is_err());
    }
}

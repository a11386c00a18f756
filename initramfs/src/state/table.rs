//! What the partition table must become for the state partition: larger, and at the first boot
//! unique.
//!
//! Pure: the new table is returned and written elsewhere.
//!
//! While the file system is being made, a bit is set in the partition's entry, so that one cut
//! short by a power failure is told from somebody's data. Bits 48 to 63 of the attributes belong
//! to the partition's type; the type "Linux file system data" defines 59, 60 and 63 only.
use disk_format::gpt::{GptError, PartitionTable};
use uuid::Uuid;

const BEING_MADE: u64 = 1 << 48;

/// New identifiers for what every copy of the image has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewIdentifiers {
    /// The disk's.
    pub(crate) disk: Uuid,
    /// The partitions' by number.
    pub(crate) partitions: Vec<(u32, Uuid)>,
}

/// Whether the state partition's file system was begun and not finished.
pub(crate) fn is_being_made(table: &PartitionTable, state: u32) -> bool {
    table
        .partitions
        .get(&state)
        .is_some_and(|partition| partition.attributes & BEING_MADE != 0)
}

/// The table before the state file system is made: grown, unique and marked.
pub(crate) fn begin_making(
    mut table: PartitionTable,
    state: u32,
    disk_length_bytes: u64,
    new: &NewIdentifiers,
) -> Result<PartitionTable, GptError> {
    table.grow_last(disk_length_bytes)?;
    table.disk_guid = new.disk;
    for (number, guid) in &new.partitions {
        if let Some(partition) = table.partitions.get_mut(number) {
            partition.guid = *guid;
        }
    }
    Ok(mark(table, state))
}

/// The table before the state file system is made again: grown and marked. Nothing gets a new identifier, for
/// the firmware may know the ESP by its own.
pub(crate) fn begin_making_again(
    mut table: PartitionTable,
    state: u32,
    disk_length_bytes: u64,
) -> Result<PartitionTable, GptError> {
    table.grow_last(disk_length_bytes)?;
    Ok(mark(table, state))
}

fn mark(mut table: PartitionTable, state: u32) -> PartitionTable {
    if let Some(partition) = table.partitions.get_mut(&state) {
        partition.attributes |= BEING_MADE;
    }
    table
}

/// The table once the state file system is usable.
pub(crate) fn finish_making(mut table: PartitionTable, state: u32) -> PartitionTable {
    if let Some(partition) = table.partitions.get_mut(&state) {
        partition.attributes &= !BEING_MADE;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk_format::gpt::{Partition, SectorSize, partition_type};
    use std::collections::BTreeMap;

    const MIB: u64 = 1 << 20;

    fn table() -> PartitionTable {
        let partition = |number: u32, name: &str| Partition {
            type_guid: partition_type::LINUX_GENERIC,
            guid: Uuid::from_u128(u128::from(number)),
            name: name.to_owned(),
            attributes: 1 << 59,
            start_bytes: u64::from(number) * MIB,
            length_bytes: MIB,
        };
        let partitions = BTreeMap::from([
            (1, partition(1, "esp")),
            (2, partition(2, "root-a")),
            (3, partition(3, "state")),
        ]);
        PartitionTable {
            disk_guid: Uuid::from_u128(99),
            sector_size: SectorSize::Bytes512,
            partitions,
        }
    }

    fn new_identifiers() -> NewIdentifiers {
        NewIdentifiers {
            disk: Uuid::from_u128(1000),
            partitions: vec![(1, Uuid::from_u128(1001)), (3, Uuid::from_u128(1003))],
        }
    }

    #[test]
    fn the_first_boot_makes_the_disk_unique_and_state_large() {
        let begun = begin_making(table(), 3, 64 * MIB, &new_identifiers()).unwrap();
        assert_eq!(begun.disk_guid, Uuid::from_u128(1000));
        assert_eq!(begun.partitions[&1].guid, Uuid::from_u128(1001));
        assert_eq!(
            begun.partitions[&2],
            table().partitions[&2],
            "the root keeps its identity"
        );
        assert_eq!(begun.partitions[&3].guid, Uuid::from_u128(1003));
        assert_eq!(begun.partitions[&3].end_bytes(), 63 * MIB);
        assert!(is_being_made(&begun, 3) && !is_being_made(&begun, 1));
    }

    #[test]
    fn state_that_is_made_again_changes_no_identifier() {
        let begun = begin_making_again(table(), 3, 64 * MIB).unwrap();
        assert_eq!(begun.disk_guid, table().disk_guid);
        for (number, partition) in table().partitions {
            assert_eq!(begun.partitions[&number].guid, partition.guid);
        }
        assert_eq!(begun.partitions[&3].end_bytes(), 63 * MIB);
        assert!(is_being_made(&begun, 3));
    }

    #[test]
    fn the_mark_comes_and_goes_alone() {
        let begun = begin_making(table(), 3, 64 * MIB, &new_identifiers()).unwrap();
        let done = finish_making(begun.clone(), 3);
        assert!(!is_being_made(&done, 3));
        assert_eq!(
            done.partitions[&3].attributes,
            1 << 59,
            "other attributes stay"
        );
        assert_eq!(done.partitions[&3].guid, begun.partitions[&3].guid);
    }
}

//! Files that are not what was written: refused, with the path and what to do.
//!
//! What a crash leaves is not damage, and is tested elsewhere.
use std::path::{Path, PathBuf};

use kv_model::Revision;
use kv_store::disk::Disk;
use kv_store::memory_disk::{MemoryDisk, Survival};
use kv_store::{HistoryError, HistoryLimit, OpenError};

use crate::workload::{FOLDER, open, step, try_open};

fn filled() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for number in 1..=100 {
        step(&store, number).expect("applied");
    }
    store.flush().expect("flushed");
    drop(store);
    disk.after_power_cut(Survival::Everything)
}

fn database() -> PathBuf {
    Path::new(FOLDER).join("state.redb")
}

fn segments(disk: &MemoryDisk) -> Vec<PathBuf> {
    let folder = Path::new(FOLDER).join("history-1");
    let mut names = disk.names(&folder).expect("a folder");
    names.sort();
    names.iter().map(|name| folder.join(name)).collect()
}

fn refused(disk: &MemoryDisk, path: &Path) -> OpenError {
    let error = try_open(disk).err().expect("refused");
    let text = error.to_string();
    assert!(text.contains(&*path.to_string_lossy()), "{text}");
    assert!(text.contains("restore a backup"), "{text}");
    error
}

#[test]
fn a_damaged_database_is_refused() {
    let disk = filled();
    disk.damage(&database(), 0, &[0; 4096]);
    assert!(matches!(
        refused(&disk, &database()),
        OpenError::DatabaseDamaged { .. }
    ));
}

#[test]
fn an_empty_database_is_refused() {
    let disk = filled();
    disk.create(&database()).expect("emptied");
    assert!(matches!(
        refused(&disk, &database()),
        OpenError::DatabaseDamaged { .. }
    ));
}

#[test]
fn a_missing_database_is_not_replaced_by_an_empty_one() {
    let disk = filled();
    disk.remove(&database()).expect("removed");
    assert!(matches!(
        refused(&disk, &database()),
        OpenError::DatabaseMissing(_)
    ));
}

#[test]
fn a_missing_or_short_segment_is_refused() {
    let disk = filled();
    let last = segments(&disk).pop().expect("a segment");
    disk.open(&last)
        .expect("opened")
        .set_length(50)
        .expect("cut");
    assert!(matches!(
        refused(&disk, &last),
        OpenError::HistoryDamaged { .. }
    ));
    for segment in segments(&disk) {
        disk.remove(&segment).expect("removed");
    }
    let folder = last.parent().expect("a folder");
    assert!(matches!(
        refused(&disk, folder),
        OpenError::HistoryDamaged { .. }
    ));
}

#[test]
fn a_damaged_header_of_a_segment_is_refused() {
    let disk = filled();
    let first = segments(&disk).swap_remove(0);
    disk.damage(&first, 20, &[0x55]);
    assert!(matches!(
        refused(&disk, &first),
        OpenError::HistoryDamaged { .. }
    ));
}

#[test]
fn a_damaged_event_is_an_error_with_its_place() {
    let disk = filled();
    let first = segments(&disk).swap_remove(0);
    disk.damage(&first, 44 + 30, &[0x55, 0xAA, 0x55]);
    let store = open(&disk);
    let read = store
        .history()
        .from(store.history().oldest(), HistoryLimit::default());
    let Err(HistoryError::Unreadable(error)) = read else {
        panic!("{read:?}");
    };
    let text = error.0.to_string();
    assert!(
        text.contains(&*first.to_string_lossy()) && text.contains("byte 44"),
        "{text}"
    );
    // Later segments can be read all the same.
    let last = store.history().from(Revision(99), HistoryLimit::default());
    assert!(last.is_ok(), "{last:?}");
}

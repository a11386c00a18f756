//! Readers and a writer at once.
//!
//! What they read is checked, not how fast.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kv_model::{Table, TableError, Tables, TablesMut};
use kv_store::memory_disk::MemoryDisk;
use kv_store::{Options, Store};

use crate::workload::{FOLDER, options, progress};

/// Every batch moves an amount from one row to another, and writes its number to two tables.
fn transfer(store: &Store, number: u64) {
    store.wait_for_room();
    let applied = store.apply(progress(number), |batch| {
        let from = format!("{:03}", number % 100);
        let to = format!("{:03}", (number * 7 + 1) % 100);
        for (key, change) in [(from, -1), (to, 1)] {
            let amount = batch.get(Table::Keys, key.as_bytes())?;
            let amount = amount.map_or(0, |amount| number_in(&amount)) + change;
            let amount = Bytes::copy_from_slice(&amount.to_be_bytes());
            batch.put(Table::Keys, Bytes::from(key), amount);
        }
        for table in [Table::Settings, Table::Directories] {
            let number = Bytes::copy_from_slice(&number.to_be_bytes());
            batch.put(table, Bytes::from_static(b"number"), number);
        }
        Ok(())
    });
    applied.expect("applied");
}

fn number_in(value: &[u8]) -> i64 {
    i64::from_be_bytes(value.try_into().expect("8 bytes"))
}

fn check(store: &Store, last_number: &mut Option<Bytes>) -> Result<(), TableError> {
    let view = store.view();
    let number = view.get(Table::Settings, b"number")?;
    assert!(number >= *last_number, "time goes back");
    let rows = view.range(Table::Keys, b"", None);
    let amounts = rows.map(|row| Ok(number_in(&row?.1)));
    let sum: i64 = amounts.sum::<Result<_, TableError>>()?;
    assert_eq!(sum, 0);
    let again = view.get(Table::Directories, b"number")?;
    assert_eq!(again, number);
    *last_number = number;
    Ok(())
}

/// Ends the readers, also when the test fails.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn views_are_consistent_while_batches_are_applied_and_flushed() {
    let options = Options {
        delta_bytes_max: 64 * 1024,
        flush_interval: Duration::from_millis(1),
        ..options()
    };
    let disk = std::sync::Arc::new(MemoryDisk::default());
    let store = Store::open_on(disk, std::path::Path::new(FOLDER), options);
    let store = store.expect("the store opens");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = None;
                while !is_over.load(Ordering::Relaxed) {
                    check(&store, &mut last).expect("read");
                }
            });
        }
        let _over = SetWhenDropped(&is_over);
        for number in 1..=5000 {
            transfer(&store, number);
        }
        store.flush().expect("flushed");
    });
    check(&store, &mut None).expect("read");
    let number = store.view().get(Table::Settings, b"number").expect("read");
    assert_eq!(
        number,
        Some(Bytes::copy_from_slice(&5000_u64.to_be_bytes()))
    );
}

/// Writes until the disk is full.
fn fill_up(store: &Store, number: u64) {
    for row in 0..2000 {
        transfer(store, number);
        let value = Bytes::from(vec![2; 60_000]);
        store.wait_for_room();
        let grown = store.apply(progress(number), |batch| {
            let key = Bytes::from(format!("{number} {row}"));
            batch.put(Table::Users, key, value);
            Ok(())
        });
        grown.expect("applied");
        if store.flush().is_err() {
            return;
        }
    }
    panic!("the disk is not full");
}

fn check_on_full_disk(is_capacity_hidden: bool) {
    let options = Options {
        delta_bytes_max: 16 * 1024 * 1024,
        cache_bytes: 0,
        ..options()
    };
    let disk = MemoryDisk::default();
    disk.hide_capacity(is_capacity_hidden);
    let folder = std::path::Path::new(FOLDER);
    let store = Store::open_on(std::sync::Arc::new(disk.clone()), folder, options);
    let store = store.expect("the store opens");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = None;
            while !is_over.load(Ordering::Relaxed) {
                match check(&store, &mut last) {
                    Ok(()) => {}
                    // A view from before the last commit, and the database was opened again.
                    Err(error) if is_capacity_hidden && error.0.is::<redb::StorageError>() => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let _over = SetWhenDropped(&is_over);
        for number in 1..=6 {
            disk.set_capacity(Some(disk.used_bytes()));
            fill_up(&store, number);
            check(&store, &mut None).expect("read");
            disk.set_capacity(None);
            store.flush().expect("flushed");
        }
    });
    check(&store, &mut None).expect("read");
}

#[test]
fn views_go_on_while_the_disk_fills_up_and_empties() {
    check_on_full_disk(false);
}

#[test]
fn views_of_the_last_commit_go_on_when_a_write_finds_no_room() {
    for _ in 0..20 {
        check_on_full_disk(true);
    }
}

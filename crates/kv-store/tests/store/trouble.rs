//! Disks that are full, or that fail.
//!
//! Reads go on, nothing is lost, and a full disk is no reason to start anew.
use std::path::Path;
use std::sync::Arc;

use kv_store::memory_disk::{MemoryDisk, Survival};
use kv_store::{FlushError, Options, SpaceState, Store};

use crate::workload::{FOLDER, Model, assert_same, number_of, open, options, step};

#[test]
fn a_full_disk_loses_nothing_and_recovers() {
    for extra in [0, 100, 5_000, 20_000, 100_000, 300_000, 1_000_000] {
        check_full_disk(extra, false);
        check_full_disk(extra, true);
    }
}

fn check_full_disk(extra: u64, is_capacity_hidden: bool) {
    let disk = MemoryDisk::default();
    disk.hide_capacity(is_capacity_hidden);
    let store = open(&disk);
    for number in 1..=100 {
        step(&store, number).expect("applied");
    }
    store.flush().expect("flushed");
    disk.set_capacity(Some(disk.used_bytes() + extra));
    let mut number = 100;
    let error = loop {
        number += 1;
        step(&store, number).expect("applied");
        if let Err(error) = store.flush() {
            break error;
        }
    };
    assert!(matches!(error, FlushError::NoSpace { .. }), "{error}");
    assert!(matches!(store.space(), SpaceState::Trouble(_)));
    assert_same(&store, &Model::after(number));
    for _ in 0..10 {
        number += 1;
        step(&store, number).expect("applied");
    }
    assert_same(&store, &Model::after(number));
    let durable = number_of(store.durable_progress());
    assert!(durable < number);
    let lost = open(&disk.after_power_cut(Survival::Nothing));
    assert_same(&lost, &Model::after(durable));
    disk.set_capacity(None);
    store.flush().expect("flushed");
    assert!(matches!(store.space(), SpaceState::Enough));
    assert_same(&store, &Model::after(number));
    drop(store);
    let store = open(&disk.after_power_cut(Survival::Nothing));
    assert_same(&store, &Model::after(number));
}

fn check_waiting(is_capacity_hidden: bool) {
    let disk = MemoryDisk::default();
    disk.hide_capacity(is_capacity_hidden);
    let delta_bytes_max = 60 * 1024;
    let options = Options {
        delta_bytes_max,
        ..options()
    };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new(FOLDER), options);
    let store = store.expect("the store opens");
    step(&store, 1).expect("applied");
    store.flush().expect("flushed");
    disk.set_capacity(Some(disk.used_bytes()));
    let writer = store.clone();
    let written = std::thread::spawn(move || {
        for number in 2..=1000 {
            step(&writer, number).expect("applied");
        }
    });
    // Every attempt fails, and none of them lets the writer fill the memory.
    let mut failures = 0;
    while failures < 60 {
        failures += usize::from(store.flush().is_err());
        let bytes = store.statistics().delta_bytes;
        assert!(bytes < delta_bytes_max + 40 * 1024, "{bytes}");
    }
    assert!(number_of(store.progress()) < 1000, "the delta is bounded");
    disk.set_capacity(None);
    written.join().expect("all is applied");
    assert_same(&store, &Model::after(1000));
}

#[test]
fn whoever_waits_on_a_full_disk_goes_on_when_there_is_room() {
    check_waiting(false);
    check_waiting(true);
}

#[test]
fn a_sync_that_fails_is_not_tried_again() {
    let disk = MemoryDisk::default();
    let store = open(&disk);
    for number in 1..=50 {
        step(&store, number).expect("applied");
    }
    store.flush().expect("flushed");
    step(&store, 51).expect("applied");
    disk.fail_syncs(true);
    let error = store.flush().expect_err("a failed sync");
    assert!(matches!(error, FlushError::Failed { .. }), "{error}");
    disk.fail_syncs(false);
    assert!(matches!(store.flush(), Err(FlushError::Failed { .. })));
    assert!(step(&store, 52).is_err());
    assert!(matches!(
        store.space(),
        SpaceState::Trouble(FlushError::Failed { .. })
    ));
    assert_eq!(number_of(store.durable_progress()), 50);
    drop(store);
    for survival in [Survival::Nothing, Survival::Everything, Survival::Some(1)] {
        let store = open(&disk.after_power_cut(survival));
        let found = number_of(store.progress());
        assert!(found == 50 || found == 51);
        assert_same(&store, &Model::after(found));
    }
}

#[test]
fn little_room_is_reported_before_it_is_gone() {
    let disk = MemoryDisk::default();
    let options = Options {
        reserve_bytes: 1_000_000,
        ..options()
    };
    let store = Store::open_on(Arc::new(disk.clone()), Path::new(FOLDER), options);
    let store = store.expect("the store opens");
    assert!(matches!(store.space(), SpaceState::Enough));
    disk.set_capacity(Some(disk.used_bytes() + 999_999));
    let space = store.space();
    assert!(
        matches!(
            space,
            SpaceState::Low {
                free_bytes: 999_999
            }
        ),
        "{space:?}"
    );
}

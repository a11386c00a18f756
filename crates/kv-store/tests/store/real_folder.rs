//! The store in a real folder.
//!
//! Only what memory cannot show: the operating system's files and locks.
use kv_store::{OpenError, SpaceState, Store};

use crate::workload::{Model, assert_same, options, step};

#[test]
fn it_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("member").join("store");
    let store = Store::open(&path, options()).expect("the store opens");
    assert!(matches!(store.space(), SpaceState::Enough));
    for number in 1..=200 {
        step(&store, number).expect("applied");
    }
    let locked = Store::open(&path, options()).err().expect("locked");
    assert!(matches!(locked, OpenError::Locked(_)), "{locked}");
    // Without a flush: closing does it.
    drop(store);
    let store = Store::open(&path, options()).expect("the store opens");
    assert_same(&store, &Model::after(200));
    let mut snapshot = store.snapshot().expect("a snapshot");
    let other = folder.path().join("other");
    let other = Store::open(&other, options()).expect("the store opens");
    other.install(&mut snapshot).expect("installed");
    assert_same(&other, &Model::after(200));
    assert!(other.statistics().database_bytes > 0);
    assert!(other.statistics().history_bytes > 0);
}

#[test]
fn what_is_due_is_flushed_without_being_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = kv_store::Options {
        flush_interval: std::time::Duration::from_millis(1),
        ..options()
    };
    let store = Store::open(folder.path(), options).expect("the store opens");
    step(&store, 1).expect("applied");
    while store.durable_progress() != store.progress() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(store.statistics().flushes.count, 1);
}

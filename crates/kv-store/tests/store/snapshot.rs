//! Snapshots: round trips, damage, and power cuts while installing.
//!
//! How they travel between members is not the store's affair.
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kv_store::memory_disk::{MemoryDisk, Survival};
use kv_store::{InstallError, Store};

use crate::workload::{Model, assert_same, assert_same_tables, number_of, open, step, try_open};

fn filled(disk: &MemoryDisk, batches: u64) -> Store {
    let store = open(disk);
    for number in 1..=batches {
        step(&store, number).expect("applied");
    }
    store
}

fn snapshot(store: &Store) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut snapshot = store.snapshot().expect("a snapshot");
    assert_eq!(snapshot.progress(), store.progress());
    snapshot.read_to_end(&mut stream).expect("a stream");
    stream
}

#[test]
fn a_snapshot_carries_everything() {
    let source = filled(&MemoryDisk::default(), 500);
    let stream = snapshot(&source);
    let disk = MemoryDisk::default();
    let store = filled(&disk, 40);
    let old_view = store.view();
    let installs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&installs);
    store.subscribe_to_installs(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let progress = store.install(&mut &stream[..]).expect("installed");
    assert_eq!(number_of(progress), 500);
    assert_eq!(store.durable_progress(), store.progress());
    assert_eq!(installs.load(Ordering::Relaxed), 1);
    assert_same(&store, &Model::after(500));
    assert_eq!(store.history().oldest(), source.history().oldest());
    assert_same_tables(&old_view, &Model::after(40).tables, 0);
    drop(old_view);
    for number in 501..=560 {
        step(&store, number).expect("applied");
    }
    store.flush().expect("flushed");
    assert_same(&store, &Model::after(560));
    drop(store);
    let store = open(&disk.after_power_cut(Survival::Nothing));
    assert_same(&store, &Model::after(560));
}

#[test]
fn a_snapshot_is_of_its_moment() {
    let source = filled(&MemoryDisk::default(), 300);
    let mut running = source.snapshot().expect("a snapshot");
    let mut stream = vec![0; 10];
    running.read_exact(&mut stream).expect("a beginning");
    for number in 301..=700 {
        step(&source, number).expect("applied");
        if number % 50 == 0 {
            source.flush().expect("flushed");
        }
    }
    running.read_to_end(&mut stream).expect("the rest");
    let store = open(&MemoryDisk::default());
    store.install(&mut &stream[..]).expect("installed");
    assert_same(&store, &Model::after(300));
}

#[test]
fn an_empty_store_has_a_snapshot() {
    let stream = snapshot(&open(&MemoryDisk::default()));
    let store = filled(&MemoryDisk::default(), 30);
    assert_eq!(store.install(&mut &stream[..]).expect("installed"), None);
    assert_same(&store, &Model::default());
}

#[test]
fn a_damaged_snapshot_changes_nothing() {
    let stream = snapshot(&filled(&MemoryDisk::default(), 60));
    let disk = MemoryDisk::default();
    let store = filled(&disk, 20);
    let model = Model::after(20);
    for position in (0..stream.len()).step_by(stream.len() / 60) {
        let mut damaged = stream.clone();
        damaged[position] ^= 0x10;
        let error = store.install(&mut &damaged[..]).expect_err("damaged");
        let is_known = matches!(
            error,
            InstallError::Damaged { .. } | InstallError::Read { .. }
        );
        assert!(is_known, "{position}: {error}");
        let cut = &stream[..position];
        assert!(store.install(&mut &cut[..]).is_err(), "{position}");
    }
    assert_same(&store, &model);
    step(&store, 21).expect("applied");
    store.flush().expect("flushed");
    drop(store);
    let store = open(&disk.after_power_cut(Survival::Nothing));
    assert_same(&store, &Model::after(21));
}

#[test]
fn a_power_cut_while_installing_leaves_the_old_or_the_new() {
    let stream = snapshot(&filled(&MemoryDisk::default(), 120));
    let prepared = MemoryDisk::default();
    filled(&prepared, 20).flush().expect("flushed");
    let begin = |operations: Option<u64>| {
        let disk = prepared.after_power_cut(Survival::Nothing);
        let store = open(&disk);
        let before = disk.operations();
        if let Some(operations) = operations {
            disk.power_off_after(operations);
        }
        let installed = store.install(&mut &stream[..]).is_ok();
        (disk.operations() - before, installed, disk)
    };
    let (operations, ..) = begin(None);
    let mut outcomes = [0, 0];
    for at in 0..=operations {
        let (_, installed, disk) = begin(Some(at));
        for survival in [Survival::Nothing, Survival::Everything, Survival::Some(at)] {
            let store = try_open(&disk.after_power_cut(survival)).expect("the store opens");
            let found = number_of(store.progress());
            assert!(found == 120 || (found == 20 && !installed), "{found}");
            assert_same(&store, &Model::after(found));
            outcomes[usize::from(found == 120)] += 1;
        }
    }
    assert!(outcomes[0] > 10 && outcomes[1] > 1, "{outcomes:?}");
}

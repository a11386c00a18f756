//! Power cuts at every operation of the disk, with unsynced writes lost in several ways.
//!
//! After each, the store must be as the model is at the progress it says it has.
use kv_store::memory_disk::{MemoryDisk, Survival};

use crate::workload::{Model, assert_same, number_of, open, step, try_open};

const BATCHES: u64 = 48;

/// Applies batches until the end or the power cut; gives the last batch that was said to be durable.
fn run_until_power_cut(disk: &MemoryDisk) -> u64 {
    let mut durable = 0;
    let Ok(store) = try_open(disk) else {
        return 0;
    };
    for number in 1..=BATCHES {
        if step(&store, number).is_err() {
            break;
        }
        if number % 12 == 0 && store.flush().is_ok() {
            durable = number;
        }
    }
    durable
}

fn check(disk: &MemoryDisk, durable: u64) {
    let store = open(disk);
    let found = number_of(store.durable_progress());
    assert!(found >= durable, "{found} instead of {durable}");
    assert_eq!(number_of(store.progress()), found);
    assert_same(&store, &Model::after(found));
    for number in found + 1..=BATCHES {
        step(&store, number).expect("applied again");
    }
    assert_same(&store, &Model::after(BATCHES));
    store.flush().expect("flushed");
    drop(store);
    let again = disk.after_power_cut(Survival::Nothing);
    assert_same(&open(&again), &Model::after(BATCHES));
}

fn sweep(offset: u64, every: usize) {
    let whole = MemoryDisk::default();
    assert_eq!(run_until_power_cut(&whole), BATCHES);
    let operations = whole.operations();
    assert!(operations > 100, "{operations} operations");
    for at in (offset..=operations).step_by(every) {
        let disk = MemoryDisk::default();
        disk.power_off_after(at);
        let durable = run_until_power_cut(&disk);
        let ways = [
            Survival::Nothing,
            Survival::Everything,
            Survival::Some(at),
            Survival::Some(at + 1_000_000),
        ];
        for survival in ways {
            check(&disk.after_power_cut(survival), durable);
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_durable() {
    sweep(0, 1);
}

/// The first start, too, may be interrupted anywhere, and so may the start after that.
#[test]
fn a_power_cut_while_opening_is_harmless() {
    let whole = MemoryDisk::default();
    drop(open(&whole));
    for first in 0..=whole.operations() {
        let disk = MemoryDisk::default();
        disk.power_off_after(first);
        drop(try_open(&disk));
        for second in 0..12 {
            let disk = disk.after_power_cut(Survival::Some(first * 100 + second));
            disk.power_off_after(second * 3);
            drop(try_open(&disk));
            let disk = disk.after_power_cut(Survival::Some(second));
            let store = open(&disk);
            step(&store, 1).expect("applied");
            assert_same(&store, &Model::after(1));
        }
    }
}

//! Random batches, flushes, views and restarts against the model.
//!
//! No crashes.
use kv_store::View;
use kv_store::memory_disk::{MemoryDisk, Survival};

use crate::random::Random;
use crate::workload::{Model, assert_same, assert_same_tables, open, step};

fn run(seed: u64, batches: u64) {
    let mut random = Random::new(seed);
    let mut disk = MemoryDisk::default();
    let mut store = open(&disk);
    let mut model = Model::default();
    let mut views: Vec<(View, Model)> = Vec::new();
    for number in 1..=batches {
        step(&store, number).expect("applied");
        model.step();
        if random.once_in(9) {
            views.push((store.view(), model.clone()));
        }
        if random.once_in(15) {
            store.flush().expect("flushed");
            assert_eq!(store.durable_progress(), store.progress());
        }
        if random.once_in(12) && !views.is_empty() {
            let (view, then) = views.swap_remove(random.below(views.len()));
            assert_same_tables(&view, &then.tables, number);
        }
        if random.once_in(60) {
            views.clear();
            drop(store);
            disk = disk.after_power_cut(Survival::Nothing);
            store = open(&disk);
            assert_same(&store, &model);
        }
        if random.once_in(30) {
            assert_same(&store, &model);
        }
    }
    assert_same(&store, &model);
    for (view, then) in views {
        assert_same_tables(&view, &then.tables, seed);
    }
}

#[test]
fn random_batches_views_flushes_and_restarts_agree_with_the_model() {
    for seed in 0..6 {
        run(seed, 600);
    }
}

#[test]
fn a_batch_that_fails_leaves_no_trace() {
    let store = open(&MemoryDisk::default());
    step(&store, 1).expect("applied");
    let failed = store.apply(crate::workload::progress(2), |batch| {
        let events = crate::workload::apply(2, batch)?;
        batch.record(events);
        Err::<(), _>(kv_model::TableError("as the test wants".into()))
    });
    assert!(failed.is_err());
    assert_same(&store, &Model::after(1));
}

#[test]
fn a_view_that_was_kept_too_long_refuses() {
    let disk = MemoryDisk::default();
    let options = kv_store::Options {
        view_age_max: std::time::Duration::ZERO,
        snapshot_age_max: std::time::Duration::ZERO,
        ..crate::workload::options()
    };
    let folder = std::path::Path::new(crate::workload::FOLDER);
    let store = kv_store::Store::open_on(std::sync::Arc::new(disk), folder, options);
    let store = store.expect("the store opens");
    let view = store.view();
    std::thread::sleep(std::time::Duration::from_millis(1));
    let error = kv_model::Tables::get(&view, kv_model::Table::Keys, b"a").expect_err("too old");
    assert!(error.0.is::<kv_store::ViewTooOld>());
    let mut snapshot = store.snapshot().expect("a snapshot");
    std::thread::sleep(std::time::Duration::from_millis(1));
    let read = std::io::Read::read_to_end(&mut snapshot, &mut Vec::new());
    assert!(read.is_err());
}

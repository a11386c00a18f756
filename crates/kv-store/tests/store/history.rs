//! The history: pages, what is forgotten, and what subscribers see.
//!
//! Crashes are elsewhere.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kv_model::{Event, Revision};
use kv_store::memory_disk::{MemoryDisk, Survival};
use kv_store::{HistoryError, HistoryLimit, HistoryWindow, Options, Store};
use parking_lot::Mutex;

use crate::workload::{FOLDER, Model, all_events, assert_same, open, options, step};

fn open_with_window(disk: &MemoryDisk, window: HistoryWindow) -> Store {
    let options = Options {
        window,
        ..options()
    };
    let disk = Arc::new(disk.clone());
    Store::open_on(disk, Path::new(FOLDER), options).expect("the store opens")
}

fn unlimited() -> HistoryWindow {
    HistoryWindow {
        bytes_max: u64::MAX,
        ..HistoryWindow::default()
    }
}

#[test]
fn pages_never_divide_a_revision_and_leave_nothing_out() {
    let disk = MemoryDisk::default();
    let model = Model::after(300);
    let store = open_with_window(&disk, unlimited());
    for number in 1..=300 {
        step(&store, number).expect("applied");
    }
    for page in [1, 2, 3, 50, usize::MAX] {
        assert_eq!(
            all_events(&store, page),
            (Revision(1), model.events.clone())
        );
    }
    store.flush().expect("flushed");
    drop(store);
    let store = open_with_window(&disk, unlimited());
    for page in [1, 2, 3, 50, usize::MAX] {
        assert_eq!(
            all_events(&store, page),
            (Revision(1), model.events.clone())
        );
    }
    let future = store.history().from(Revision(301), HistoryLimit::default());
    assert_eq!(future.expect("nothing yet").len(), 0);
    let limit = HistoryLimit {
        events: usize::MAX,
        bytes: 1,
    };
    let first = store.history().from(Revision(1), limit).expect("a page");
    assert!(
        first
            .iter()
            .all(|event| event.revision == first[0].revision)
    );
}

#[test]
fn the_window_counts_bytes() {
    let disk = MemoryDisk::default();
    let bytes_max = 64 * 1024;
    let window = HistoryWindow {
        bytes_max,
        ..HistoryWindow::default()
    };
    let store = open_with_window(&disk, window.clone());
    for number in 1..=1500 {
        step(&store, number).expect("applied");
        if number % 50 == 0 {
            store.flush().expect("flushed");
            let headers = 16 * 44;
            assert!(store.statistics().history_bytes <= bytes_max + headers);
        }
    }
    let oldest = store.history().oldest();
    assert!(oldest > Revision(500), "{oldest:?}");
    assert!(store.statistics().history_bytes > bytes_max / 2);
    assert_same(&store, &Model::after(1500));
    let cleared = store
        .history()
        .from(Revision(oldest.0 - 1), HistoryLimit::default());
    assert!(matches!(cleared, Err(HistoryError::Cleared { oldest: found }) if found == oldest));
    drop(store);
    let store = open_with_window(&disk.after_power_cut(Survival::Nothing), window);
    assert_eq!(store.history().oldest(), oldest);
    assert_same(&store, &Model::after(1500));
}

#[test]
fn the_window_counts_events() {
    let window = HistoryWindow {
        events_max: Some(100),
        ..unlimited()
    };
    let store = open_with_window(&MemoryDisk::default(), window);
    for number in 1..=600 {
        step(&store, number).expect("applied");
    }
    store.flush().expect("flushed");
    let kept = all_events(&store, usize::MAX).1.len();
    assert!((100..=130).contains(&kept), "{kept}");
    assert_same(&store, &Model::after(600));
}

#[test]
fn the_window_counts_time() {
    let disk = MemoryDisk::default();
    let window = HistoryWindow {
        age_max: Some(Duration::from_secs(800)),
        ..unlimited()
    };
    let store = open_with_window(&disk, window);
    for number in 1..=400 {
        disk.set_unix_seconds(number * 10);
        step(&store, number).expect("applied");
        store.flush().expect("flushed");
    }
    let oldest = store.history().oldest().0;
    // 80 batches fit into the time; a segment may hold an eighth of it more, twice.
    assert!((290..=321).contains(&oldest), "{oldest}");
    assert_same(&store, &Model::after(400));
}

#[test]
fn subscribers_see_every_event_in_order_when_it_is_visible() {
    let store = open(&MemoryDisk::default());
    let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
    let into = Arc::clone(&seen);
    let of_callback = store.history();
    store.subscribe(move |events| {
        assert!(!events.is_empty());
        let newest = events.last().map(|event| event.revision);
        assert_eq!(Some(of_callback.newest()), newest);
        into.lock()
            .extend(events.iter().map(|event| Event::clone(event)));
    });
    for number in 1..=200 {
        step(&store, number).expect("applied");
    }
    assert_eq!(*seen.lock(), Model::after(200).events);
}

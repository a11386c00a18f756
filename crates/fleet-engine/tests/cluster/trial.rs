//! The trial places all it is given; how fast depends on the machine, and is not judged here.
//!
//! `soak_` prints what it takes with the store in memory.

use fleet_engine::trial::{Size, run};
use fleet_store::Layout;
use fleet_store::memory::MemoryStore;

#[tokio::test]
async fn a_small_cluster_is_filled_and_mended() {
    let client = MemoryStore::new(1).client();
    let size = Size {
        machines: 20,
        units: 200,
    };
    let figures = run(&client, &Layout::default(), size)
        .await
        .expect("a figure");
    assert!(figures.moved_units > 0, "{figures:?}");
}

#[tokio::test]
async fn soak_ten_thousand_units_over_a_thousand_machines() {
    let client = MemoryStore::new(1).client();
    let size = Size {
        machines: 1000,
        units: 10_000,
    };
    let figures = run(&client, &Layout::default(), size)
        .await
        .expect("a figure");
    eprintln!("{size:?}: {figures:?}");
}

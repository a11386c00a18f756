//! How long it takes to place many units on many machines, in a store of the caller's choice.
//!
//! Machines here are keys only: no agent starts anything.

use std::time::Duration;

use fleet_model::{Capacity, MachineId, State};
use fleet_store::{
    Alive, Change, Contents, Keys, Layout, Lease, LeaseId, LeaseRecord, MachineRecord,
    OPERATIONS_MAX, Operation, Store, StoreError, Transaction, UnitRecord, Value, Watch,
    WatchEvent,
};
use systemd_unit::UnitName;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::engine::{Config, Engine};

/// How much there is to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Machines, with ten zones and room for all.
    pub machines: usize,
    /// Units; some exclude their likes, some want a zone, some are spread, some reserve memory.
    pub units: usize,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// From the first unit's being written, with an engine that leads, to the last target.
    pub placed: Duration,
    /// From the end of the fullest machine's life to the last new target of its units.
    pub moved: Duration,
    /// How many units that machine had.
    pub moved_units: usize,
}

/// Measures in an empty store, below a layout's prefix, which has to be empty and does not stay so.
///
/// # Errors
/// If the store fails.
pub async fn run<S: Store>(store: &S, layout: &Layout, size: Size) -> Result<Figures, StoreError> {
    let lease = store.grant(Duration::from_mins(10)).await?;
    write(store, machines(layout, size.machines, lease.id())).await?;
    let mut config = Config::new(MachineId::new("engine"), "trial");
    config.layout = layout.clone();
    let engine = Engine::new(store.clone(), config);
    let (stop, stopped) = oneshot::channel::<()>();
    let wait = async { drop(stopped.await) };
    let measured = async {
        let figures = measure(store, layout, size).await;
        drop(stop);
        figures
    };
    let (figures, ()) = tokio::join!(measured, engine.run(wait));
    store.revoke(lease.id()).await?;
    figures
}

async fn measure<S: Store>(store: &S, layout: &Layout, size: Size) -> Result<Figures, StoreError> {
    wait_for_leader(store, layout).await?;
    let revision = store.range(Keys::One(layout.leader())).await?.revision;
    let mut watch = store.watch(layout.targets(), revision + 1).await?;
    let begun = Instant::now();
    let written = write(store, units(layout, size.units));
    let (written, placed) = tokio::join!(written, count_puts(&mut watch, size.units));
    written?;
    placed?;
    let placed = begun.elapsed();
    let id = machine_id(0);
    let moved_units = store.range(layout.targets_of(&id)).await?.pairs.len();
    let begun = Instant::now();
    write(store, vec![Operation::Delete(layout.alive(&id))]).await?;
    count_puts(&mut watch, moved_units).await?;
    Ok(Figures {
        placed,
        moved: begun.elapsed(),
        moved_units,
    })
}

async fn wait_for_leader<S: Store>(store: &S, layout: &Layout) -> Result<(), StoreError> {
    while store
        .range(Keys::One(layout.leader()))
        .await?
        .pairs
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits until so many targets were put.
async fn count_puts(watch: &mut impl Watch, mut missing: usize) -> Result<(), StoreError> {
    while missing > 0 {
        let WatchEvent::Changes { changes, .. } = watch.next().await? else {
            return Err(StoreError::Refused(
                "the trial's changes were compacted".to_owned(),
            ));
        };
        let puts = changes.iter().filter(|one| matches!(one, Change::Put(_)));
        missing = missing.saturating_sub(puts.count());
    }
    Ok(())
}

async fn write<S: Store>(store: &S, operations: Vec<Operation>) -> Result<(), StoreError> {
    for operations in operations.chunks(OPERATIONS_MAX) {
        let transaction = Transaction {
            conditions: Vec::new(),
            operations: operations.to_vec(),
        };
        store.transact(transaction).await?;
    }
    Ok(())
}

fn machine_id(n: usize) -> MachineId {
    MachineId::new(format!("{n:032x}"))
}

fn machines(layout: &Layout, count: usize, lease: LeaseId) -> Vec<Operation> {
    let one = |n: usize| {
        let id = machine_id(n);
        let record = MachineRecord {
            metadata: [("zone".to_owned(), format!("z{}", n % 10))].into(),
            capacity: Capacity {
                memory: Some(64 << 30),
                ..Capacity::default()
            },
            lease: Some(LeaseRecord {
                id: lease.0,
                ttl_seconds: 30,
            }),
            ..MachineRecord::default()
        };
        let alive = Alive {
            boot_id: id.to_string(),
        };
        [
            Operation::put(layout.record(&id), record.to_bytes()),
            Operation::put_leased(layout.alive(&id), alive.to_bytes(), lease),
        ]
    };
    (0..count).flat_map(one).collect()
}

fn units(layout: &Layout, count: usize) -> Vec<Operation> {
    let one = |n: usize| {
        let (kind, options) = match n % 4 {
            0 => (
                "conflicts",
                format!("Conflicts=conflicts{}@*.service", n / 40),
            ),
            1 => ("zone", "MachineMetadata=\"zone=z1\" \"zone=z2\"".to_owned()),
            2 => ("spread", "Spread=zone".to_owned()),
            _ => ("memory", "ReserveMemory=1G".to_owned()),
        };
        let name = UnitName::new(format!("{kind}{}@{n}.service", n / 40)).ok()?;
        let contents = Contents {
            file: format!("[Service]\nExecStart=/bin/true\n\n[X-Fleet]\n{options}\n"),
            drop_ins: Vec::new(),
        };
        let hash = format!("{kind}{}", n / 40);
        let record = UnitRecord::new(hash.clone(), State::Launched);
        let is_first = n % 40 < 4;
        let contents = Operation::put(layout.contents(&hash), contents.to_bytes());
        let unit = Operation::put(layout.unit(&name), record.to_bytes());
        // In this order, so that no contents are without a unit, which would be garbage.
        Some([unit].into_iter().chain(is_first.then_some(contents)))
    };
    (0..count).filter_map(one).flatten().collect()
}

//! Batches that their number decides, so that they can be applied again after a crash, and to a
//! model in memory.
//!
//! What a batch writes depends on what it reads, so a wrong read inside a batch shows.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_model::memory_tables::MemoryTables;
use kv_model::{Action, Content, Event, Node, Revision, Table, TableError, Tables, TablesMut};
use kv_store::memory_disk::MemoryDisk;
use kv_store::{HistoryLimit, HistoryWindow, Options, Progress, Store};

use crate::random::Random;

pub(crate) const FOLDER: &str = "/store";

/// Small figures, and no flush that was not asked for.
pub(crate) fn options() -> Options {
    Options {
        cache_bytes: 64 * 1024,
        delta_bytes_max: 1024 * 1024,
        flush_interval: Duration::from_hours(1),
        recent_bytes_max: 32 * 1024,
        recent_events_max: 20,
        window: HistoryWindow {
            bytes_max: 128 * 1024,
            ..HistoryWindow::default()
        },
        reserve_bytes: 0,
        ..Options::default()
    }
}

pub(crate) fn open(disk: &MemoryDisk) -> Store {
    try_open(disk).expect("the store opens")
}

pub(crate) fn try_open(disk: &MemoryDisk) -> Result<Store, kv_store::OpenError> {
    Store::open_on(Arc::new(disk.clone()), Path::new(FOLDER), options())
}

pub(crate) fn progress(number: u64) -> Progress {
    Progress(Bytes::copy_from_slice(&number.to_be_bytes()))
}

pub(crate) fn number_of(progress: Option<Progress>) -> u64 {
    let number = |progress: Progress| progress.0[..].try_into().expect("8 bytes");
    progress.map_or(0, |progress| u64::from_be_bytes(number(progress)))
}

fn key(random: &mut Random) -> Bytes {
    let key = format!(
        "/{:0width$}",
        random.below(60),
        width = 1 + random.below(3) * 9
    );
    Bytes::from(key)
}

fn value(random: &mut Random) -> Bytes {
    let length = if random.once_in(40) { 9000 } else { 300 };
    let length = random.below(length);
    let byte = u8::try_from(random.below(256)).expect("a byte");
    Bytes::from(vec![byte; length])
}

fn table(random: &mut Random) -> Table {
    if random.once_in(2) {
        Table::Keys
    } else {
        Table::ALL[random.below(Table::ALL.len())]
    }
}

/// Applies batch `number` to some tables; gives its events.
pub(crate) fn apply(number: u64, tables: &mut dyn TablesMut) -> Result<Vec<Event>, TableError> {
    let mut random = Random::new(number);
    for _ in 0..random.below(8) {
        let table = table(&mut random);
        let key = key(&mut random);
        match random.below(8) {
            0 | 1 => tables.remove(table, &key),
            2 => {
                let rows = tables.range(table, &key, None).take(20);
                let keys: Vec<Bytes> = rows
                    .map(|row| Ok(row?.0))
                    .collect::<Result<_, TableError>>()?;
                tables.put(table, key, Bytes::from(keys.concat()));
            }
            3 => {
                let before = tables.get(table, &key)?.unwrap_or_default();
                let value = format!("{} before", before.len());
                tables.put(table, key, Bytes::from(value));
            }
            _ => tables.put(table, key, value(&mut random)),
        }
    }
    let count = [0, 1, 1, 1, 2, 3][random.below(6)];
    Ok((0..count).map(|_| event(number, &mut random)).collect())
}

fn event(number: u64, random: &mut Random) -> Event {
    let node = Node {
        key: key(random),
        content: Content::Value(value(random)),
        created_index: Revision(number),
        create_revision: Revision(number),
        modified: Revision(number),
        version: 1,
        expires: None,
        lease: None,
    };
    Event {
        revision: Revision(number),
        action: Action::Set,
        previous: random.once_in(2).then(|| node.clone()),
        node,
        removed_keys: Vec::new(),
        refresh: false,
    }
}

/// What the store should hold.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) number: u64,
    pub(crate) tables: MemoryTables,
    pub(crate) events: Vec<Event>,
}

impl Model {
    /// After so many batches.
    pub(crate) fn after(number: u64) -> Self {
        let mut model = Self::default();
        while model.number < number {
            model.step();
        }
        model
    }

    pub(crate) fn step(&mut self) {
        self.number += 1;
        let events = apply(self.number, &mut self.tables).expect("memory does not fail");
        self.events.extend(events);
    }

    pub(crate) fn newest(&self) -> Revision {
        self.events
            .last()
            .map_or(Revision(0), |event| event.revision)
    }
}

/// Applies batch `number` to the store, once there is room.
pub(crate) fn step(store: &Store, number: u64) -> Result<(), TableError> {
    store.wait_for_room();
    store.apply(progress(number), |batch| {
        let events = apply(number, batch)?;
        batch.record(events);
        Ok(())
    })
}

type Row = (Bytes, Bytes);

pub(crate) fn rows(tables: &dyn Tables, table: Table, from: &[u8], to: Option<&[u8]>) -> Vec<Row> {
    let rows = tables.range(table, from, to);
    rows.collect::<Result<_, _>>()
        .expect("the rows can be read")
}

/// All rows of all tables, and some ranges and keys.
pub(crate) fn assert_same_tables(found: &dyn Tables, expected: &dyn Tables, seed: u64) {
    let mut random = Random::new(seed);
    for table in Table::ALL {
        let all = rows(expected, table, b"", None);
        assert_eq!(rows(found, table, b"", None), all, "{table:?}");
        for _ in 0..3 {
            let (from, to) = (key(&mut random), key(&mut random));
            let found = rows(found, table, &from, Some(&to));
            let expected = all.iter().filter(|(key, _)| from <= *key && *key < to);
            assert!(
                found.iter().eq(expected),
                "{table:?} from {from:?} to {to:?}"
            );
        }
        for _ in 0..10 {
            let key = key(&mut random);
            let expected = all.iter().find(|(stored, _)| *stored == key);
            let found = found.get(table, &key).expect("the row can be read");
            assert_eq!(
                found.as_ref(),
                expected.map(|(_, value)| value),
                "{table:?} {key:?}"
            );
        }
    }
}

/// The history as the store has it, read in pages.
pub(crate) fn all_events(store: &Store, page: usize) -> (Revision, Vec<Event>) {
    let history = store.history();
    let oldest = history.oldest();
    let mut found: Vec<Event> = Vec::new();
    let mut from = oldest;
    loop {
        let limit = HistoryLimit {
            events: page,
            bytes: usize::MAX,
        };
        let events = history.from(from, limit).expect("the history can be read");
        let Some(last) = events.last() else {
            return (oldest, found);
        };
        from = last.revision.next();
        found.extend(events.iter().map(|event| Event::clone(event)));
    }
}

pub(crate) fn assert_same(store: &Store, model: &Model) {
    assert_eq!(number_of(store.progress()), model.number);
    assert_same_tables(&store.view(), &model.tables, model.number);
    let (oldest, events) = all_events(store, 7);
    let expected = model.events.iter().filter(|event| event.revision >= oldest);
    assert!(events.iter().eq(expected), "the history from {oldest:?} on");
    assert_eq!(store.history().newest(), model.newest());
}

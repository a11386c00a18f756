//! Random commands: whatever comes, the rows must fit together, and members must agree.
//!
//! Single known answers are in the crate's `tests` folder.
mod commands;
mod invariants;
mod listing;
mod past;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::apply;
use crate::memory_tables::MemoryTables;
use crate::outcome::Applied;
use crate::query;
use crate::record::setting;
use crate::tables::{Table, Tables};

type AllRows = BTreeMap<(Table, Bytes), Bytes>;

fn all_rows(tables: &MemoryTables) -> AllRows {
    let of = |table| {
        let rows = tables.range(table, b"", None);
        rows.map(move |row| row.map(|(key, row)| ((table, key), row)).unwrap())
    };
    Table::ALL.into_iter().flat_map(of).collect()
}

/// How far the revision must have gone: one for all events of one change.
fn steps(applied: &Applied) -> u64 {
    let revisions: BTreeSet<_> = applied.events.iter().map(|event| event.revision).collect();
    revisions.len() as u64
}

fn check(applied: &Applied, before: &AllRows, tables: &MemoryTables) {
    let after = all_rows(tables);
    let revision_before = before
        .get(&(Table::Settings, Bytes::from_static(b"revision")))
        .map_or(1, |row| postcard::from_bytes::<u64>(row).unwrap());
    let revision = setting::revision(tables).unwrap().0;
    assert_eq!(revision, revision_before + steps(applied));
    if let Err(refusal) = &applied.outcome {
        assert!(applied.events.is_empty() && *before == after, "{refusal}");
        assert_eq!(refusal.index.0, revision);
    }
    let mut last = revision_before;
    for event in &applied.events {
        assert!(event.revision.0 >= last.max(revision_before + 1));
        assert!(event.revision.0 <= revision);
        assert_eq!(event.node.modified, event.revision);
        last = event.revision.0;
    }
    invariants::check(tables);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rows_fit_together_after_every_command(commands in commands::sequence()) {
        let mut tables = MemoryTables::default();
        for command in &commands {
            let before = all_rows(&tables);
            let applied = apply(&mut tables, command).unwrap();
            check(&applied, &before, &tables);
        }
        // Whoever repeats it gets the same.
        let mut other = MemoryTables::default();
        for command in &commands {
            apply(&mut other, command).unwrap();
        }
        prop_assert_eq!(all_rows(&other), all_rows(&tables));
    }

    #[test]
    fn listings_show_what_is_there(commands in commands::sequence()) {
        let mut tables = MemoryTables::default();
        for command in &commands {
            apply(&mut tables, command).unwrap();
        }
        listing::check(&tables);
    }

    #[test]
    fn nothing_is_left_when_all_is_removed(commands in commands::sequence()) {
        let mut tables = MemoryTables::default();
        for command in &commands {
            apply(&mut tables, command).unwrap();
        }
        for command in commands::remove_all(&tables) {
            apply(&mut tables, &command).unwrap().outcome.unwrap();
        }
        let left = all_rows(&tables);
        let left: Vec<_> = left.keys().filter(|(table, _)| *table != Table::Settings).collect();
        prop_assert!(left.is_empty(), "{:?}", left);
        prop_assert_eq!(query::next_deadline(&tables).unwrap(), None);
    }
}

//! Earlier states, read by undoing events, are what they were.
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::{apply, commands};
use crate::command::{Direction, KeyRange, Order, OrderBy, RangeQuery};
use crate::event::{Event, Node};
use crate::memory_tables::MemoryTables;
use crate::outcome::RangeReply;
use crate::query::listing::Cursor;
use crate::query::{self, Listing, Past};
use crate::units::Revision;

fn read(tables: &MemoryTables, query: &RangeQuery, past: Option<&Past>) -> RangeReply {
    query::range(tables, query, past).unwrap().unwrap()
}

/// The same page by page.
fn read_in_pages(
    tables: &MemoryTables,
    query: &RangeQuery,
    past: Option<&Past>,
    bytes_max: usize,
) -> (RangeReply, u64) {
    let measure = |node: &Node| node.key.len() as u64 + 1;
    let listing = Listing::new(tables, query, past, measure).unwrap();
    let mut cursor = Cursor::default();
    let mut nodes = Vec::new();
    loop {
        let page = listing.page(tables, past, &mut cursor, bytes_max).unwrap();
        if page.is_empty() {
            break;
        }
        nodes.extend(page);
    }
    let (more, count) = (listing.more, listing.count);
    (RangeReply { nodes, more, count }, listing.size)
}

fn undone(events: &[Event], tables: &MemoryTables, query: &RangeQuery) -> Option<Past> {
    let mut past = Past::of(tables, query).unwrap()?;
    let since = events.iter();
    for event in since.filter(|event| Some(event.revision) > query.revision) {
        past.undo(event);
    }
    Some(past)
}

fn orders() -> impl Strategy<Value = Order> {
    let by = [
        OrderBy::Key,
        OrderBy::Version,
        OrderBy::Created,
        OrderBy::Modified,
        OrderBy::Value,
    ];
    let directions = [
        Direction::Unstated,
        Direction::Ascending,
        Direction::Descending,
    ];
    (select(by.to_vec()), select(directions.to_vec()))
        .prop_map(|(by, direction)| Order { by, direction })
}

fn queries() -> impl Strategy<Value = RangeQuery> {
    let bounds = || (0..4_u64, 0..30_u64).prop_map(|(a, b)| (Revision(a), Revision(b)));
    let filters = || prop_oneof![3 => Just((Revision(0), Revision(0))), 1 => bounds()];
    let flags = (any::<bool>(), proptest::bool::weighted(0.1));
    (
        commands::keys(),
        0..5_u64,
        orders(),
        flags,
        filters(),
        filters(),
    )
        .prop_map(
            |(keys, limit, order, (keys_only, count_only), modified, created)| RangeQuery {
                keys,
                limit,
                revision: None,
                order,
                keys_only,
                count_only,
                modified,
                created,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_earlier_state_can_be_read(
        commands in commands::sequence(),
        queries in proptest::collection::vec(queries(), 1..6),
        bytes_max in select(vec![1_usize, 300, usize::MAX]),
    ) {
        let mut tables = MemoryTables::default();
        let mut events = Vec::new();
        let mut states = BTreeMap::new();
        for command in &commands {
            states.insert(query::revision(&tables).unwrap(), tables.clone());
            let applied = apply(&mut tables, command).unwrap();
            // A state between those of one command was never there as tables.
            events.extend(applied.events);
        }
        states.insert(query::revision(&tables).unwrap(), tables.clone());
        // Revision 0 stands for the present.
        let first = query::compacted(&tables).unwrap().max(Revision(1));
        for (revision, state) in states {
            for now in queries.iter().filter(|_| revision >= first) {
                let earlier = RangeQuery {
                    revision: Some(revision),
                    ..now.clone()
                };
                let past = undone(&events, &tables, &earlier);
                let wanted = read(&state, now, None);
                prop_assert_eq!(&read(&tables, &earlier, past.as_ref()), &wanted);
                let (paged, size) = read_in_pages(&tables, &earlier, past.as_ref(), bytes_max);
                let measured = wanted.nodes.iter().map(|node| node.key.len() as u64 + 1);
                prop_assert_eq!(size, measured.sum::<u64>());
                prop_assert_eq!(&paged, &wanted);
            }
        }
    }

    #[test]
    fn what_comes_after_a_key_is_the_rest_of_the_range(keys in commands::keys(), key in commands::key()) {
        let rest = keys.contains(&key).then(|| keys.after(&key));
        for other in commands::all_keys() {
            let Some(rest) = &rest else { break };
            let wanted = keys.contains(&other) && other > key;
            prop_assert_eq!(rest.contains(&other), wanted, "{:?} after {:?}", keys, key);
        }
        let (from, to) = keys.bounds();
        for other in commands::all_keys() {
            let within = from <= other && to.as_ref().is_none_or(|to| other < *to);
            prop_assert_eq!(keys.contains(&other), within);
        }
        let single = KeyRange::Single(key.clone());
        prop_assert!(single.contains(&key));
    }
}

//! Listings page by page, and how much of the tables they read.
//!
//! Random trees are in the crate's own tests.
use std::cell::Cell;

use bytes::Bytes;
use kv_model::memory_tables::MemoryTables;
use kv_model::query::{self, TreeQuery};
use kv_model::{ErrorCode, Rows, Table, TableError, Tables};

use crate::answer::of_tree;
use crate::fixture::*;

/// Tables that count the rows read from ranges.
struct Counting<'t> {
    tables: &'t MemoryTables,
    rows: Cell<usize>,
}

impl Tables for Counting<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.tables.get(table, key)
    }

    fn range<'a>(&'a self, table: Table, from: &[u8], to: Option<&[u8]>) -> Rows<'a> {
        let rows = self.tables.range(table, from, to);
        Box::new(rows.inspect(|_| self.rows.set(self.rows.get() + 1)))
    }
}

fn tables() -> MemoryTables {
    let mut tables = MemoryTables::default();
    for directory in 0..5 {
        for key in 0..1000 {
            must(&mut tables, &set(&format!("/d{directory}/k{key:04}"), ""));
        }
    }
    must(&mut tables, &set("/last", ""));
    tables
}

fn names(tables: &dyn Tables, query: &TreeQuery) -> (Vec<String>, Option<String>) {
    let page = query::tree(tables, query).unwrap().unwrap();
    let names = page.tree.children.iter().map(|tree| text(&tree.node.key));
    (names.collect(), page.continue_after)
}

#[test]
fn a_level_is_listed_without_reading_what_is_deeper() {
    let tables = tables();
    let counting = Counting {
        tables: &tables,
        rows: Cell::new(0),
    };
    let query = TreeQuery {
        path: "/".to_owned(),
        ..TreeQuery::default()
    };
    let (found, more) = names(&counting, &query);
    assert_eq!(found, ["/d0", "/d1", "/d2", "/d3", "/d4", "/last"]);
    assert_eq!(more, None);
    assert!(
        counting.rows.get() < 100,
        "{} rows read",
        counting.rows.get()
    );
}

#[test]
fn a_page_is_read_without_reading_what_is_before_or_after() {
    let tables = tables();
    let counting = Counting {
        tables: &tables,
        rows: Cell::new(0),
    };
    let query = TreeQuery {
        limit: Some(10),
        after: Some("/d3/k0500".to_owned()),
        ..recursive("/")
    };
    let page = query::tree(&counting, &query).unwrap().unwrap();
    assert_eq!(page.continue_after.as_deref(), Some("/d3/k0510"));
    let [way] = &page.tree.children[..] else {
        panic!("one way to the page: {page:?}");
    };
    assert_eq!(
        (text(&way.node.key).as_str(), way.children.len()),
        ("/d3", 10)
    );
    assert!(
        counting.rows.get() < 50,
        "{} rows read",
        counting.rows.get()
    );
}

#[test]
fn pages_of_one_level() {
    let tables = tables();
    let mut query = TreeQuery {
        path: "/".to_owned(),
        limit: Some(4),
        ..TreeQuery::default()
    };
    let (found, more) = names(&tables, &query);
    assert_eq!(found, ["/d0", "/d1", "/d2", "/d3"]);
    query.after = more;
    assert_eq!(
        names(&tables, &query),
        (vec!["/d4".to_owned(), "/last".to_owned()], None)
    );
    // Where to go on may be gone, or be no name of that level.
    for (after, first) in [
        ("/d3x", "/d4"),
        ("/d3/k0001/x", "/d4"),
        ("/a", "/d0"),
        ("/", "/d0"),
    ] {
        query.after = Some(after.to_owned());
        assert_eq!(names(&tables, &query).0[0], first, "{after}");
    }
    query.path = "/d2".to_owned();
    for (after, found) in [("/d1/z", 4), ("/d2", 4), ("/d3", 0)] {
        query.after = Some(after.to_owned());
        assert_eq!(names(&tables, &query).0.len(), found, "{after}");
    }
}

#[test]
fn a_page_without_room_says_where_it_was() {
    let tables = tables();
    let query = TreeQuery {
        limit: Some(0),
        after: Some("/d3".to_owned()),
        ..recursive("/")
    };
    let page = query::tree(&tables, &query).unwrap().unwrap();
    assert_eq!(page.continue_after.as_deref(), Some("/d3"));
}

#[test]
fn a_key_is_a_tree_without_children() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set("/k", "1"));
    let page = query::tree(&tables, &recursive("/k")).unwrap().unwrap();
    assert_eq!(
        of_tree(&page.tree),
        r#"{"action":"get","node":{"key":"/k","value":"1","modifiedIndex":2,"createdIndex":2}}"#
    );
    let refusal = query::tree(&tables, &recursive("/n/o"))
        .unwrap()
        .unwrap_err();
    assert_eq!(
        (refusal.code, refusal.cause.as_str(), refusal.index.0),
        (ErrorCode::KeyNotFound, "/n", 2)
    );
}

//! Listings beside a simple account of all rows, and pages beside the whole.
//!
//! The order of the simple account comes from sorting lists of components.
use std::collections::BTreeSet;

use super::commands::PATHS;
use crate::event::Content;
use crate::memory_tables::MemoryTables;
use crate::path;
use crate::query::{self, Tree, TreePage, TreeQuery};
use crate::tables::{Table, Tables};

/// A path's components, and whether a directory stands there.
type Entry = (Vec<String>, bool);

fn components(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(str::to_owned).collect()
}

/// What is below a path and not hidden from it, in order.
fn account(tables: &MemoryTables, directory: &str, recursive: bool) -> Vec<Entry> {
    let mut paths = BTreeSet::new();
    let mut directories = BTreeSet::new();
    for table in [Table::Keys, Table::Directories] {
        for row in tables.range(table, b"", None) {
            let key = row.unwrap().0;
            let Some(path) = path::v2_path(&key) else {
                continue;
            };
            paths.insert(components(path));
            if table == Table::Directories {
                directories.insert(components(path));
            }
        }
    }
    let above = path::depth(directory);
    let is_listed = |path: &Vec<String>| {
        path.len() > above
            && (directory == path::ROOT || path[..above] == components(directory))
            && !path[above..].iter().any(|name| name.starts_with('_'))
            && (recursive || path.len() == above + 1)
    };
    let listed = paths.into_iter().filter(is_listed);
    listed
        .map(|path| {
            let is_directory = directories.contains(&path);
            (path, is_directory)
        })
        .collect()
}

fn flatten(trees: &[Tree], into: &mut Vec<Entry>) {
    for tree in trees {
        let path = components(std::str::from_utf8(&tree.node.key).unwrap());
        into.push((path, tree.node.content == Content::Directory));
        flatten(&tree.children, into);
    }
}

fn page(tables: &MemoryTables, query: &TreeQuery) -> Option<TreePage> {
    query::tree(tables, query).unwrap().ok()
}

/// All pages one after the other; directories that are there only as the way count once.
fn paged(tables: &MemoryTables, mut query: TreeQuery) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let page = page(tables, &query).unwrap();
        let mut entries = Vec::new();
        flatten(&page.tree.children, &mut entries);
        let after = query.after.as_deref().map(components);
        entries.retain(|(path, _)| after.as_ref().is_none_or(|after| path > after));
        assert!(entries.len() <= query.limit.unwrap());
        all.extend(entries);
        let Some(last) = page.continue_after else {
            return all;
        };
        let is_further = after.is_none_or(|after| components(&last) > after);
        assert!(is_further, "no page gets beyond {last}");
        query.after = Some(last);
    }
}

pub(super) fn check(tables: &MemoryTables) {
    for (path, recursive) in PATHS.iter().flat_map(|path| [(path, false), (path, true)]) {
        let query = TreeQuery {
            path: (*path).to_owned(),
            recursive,
            ..TreeQuery::default()
        };
        let Some(whole) = page(tables, &query) else {
            continue;
        };
        let mut entries = Vec::new();
        flatten(&whole.tree.children, &mut entries);
        let is_directory = whole.tree.node.content == Content::Directory;
        let expected = if is_directory {
            account(tables, path, recursive)
        } else {
            Vec::new()
        };
        assert_eq!(entries, expected, "{path}");
        for limit in 1..4 {
            let limit = Some(limit);
            let query = TreeQuery {
                limit,
                ..query.clone()
            };
            assert_eq!(paged(tables, query), expected, "{path} by {limit:?}");
        }
    }
}

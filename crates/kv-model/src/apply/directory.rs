//! Makes the directories that a path needs, and removes them with all that is in them.
//!
//! Whether a directory may be removed is decided elsewhere.
use std::cmp::Reverse;
use std::collections::BTreeSet;

use bytes::Bytes;

use super::change::Change;
use crate::event::{Action, Event, Node};
use crate::path;
use crate::query::level;
use crate::record::directory::{DirectoryRecord, Origin};
use crate::record::key::KeyRecord;
use crate::tables::{Table, TableError};

/// Sees to it that all directories above a path have their records.
pub(super) fn make_ancestors(
    change: &mut Change<'_>,
    path: &str,
    origin: Origin,
) -> Result<(), TableError> {
    for ancestor in path::ancestors(path) {
        let before = DirectoryRecord::read(change.tables(), ancestor)?;
        let after = match before {
            None => DirectoryRecord {
                origin,
                created_index: change.revision(),
                modified: change.revision(),
                expires: None,
            },
            Some(record) if record.origin == Origin::Implied && origin == Origin::Made => {
                DirectoryRecord { origin, ..record }
            }
            // What is above it was seen to when it was made.
            Some(_) => break,
        };
        let key = Bytes::copy_from_slice(ancestor.as_bytes());
        change.put_directory(&key, before.as_ref(), &after);
    }
    Ok(())
}

/// Removes the directories above a path that were there only for the sake of what is gone now.
pub(super) fn drop_implied_ancestors(
    change: &mut Change<'_>,
    path: &str,
) -> Result<(), TableError> {
    for ancestor in path::ancestors(path) {
        // It may be gone already, with something else that was removed by the same command.
        let Some(record) = DirectoryRecord::read(change.tables(), ancestor)? else {
            continue;
        };
        if record.origin == Origin::Made
            || !level::is_empty_beside(change.tables(), ancestor, path)?
        {
            break;
        }
        change.remove_directory(&Bytes::copy_from_slice(ancestor.as_bytes()), &record);
    }
    Ok(())
}

/// The same for many keys that are gone: each directory is looked at once, from the deepest up, because
/// to see that one is empty takes time for all that was removed from it.
fn drop_implied_directories(
    change: &mut Change<'_>,
    directories: BTreeSet<String>,
) -> Result<(), TableError> {
    let mut deepest_first: Vec<_> = directories.into_iter().collect();
    deepest_first.sort_by_key(|directory| Reverse(path::depth(directory)));
    for directory in deepest_first {
        if let Some(record) = DirectoryRecord::read(change.tables(), &directory)?
            && record.origin == Origin::Implied
            && level::is_empty(change.tables(), &directory)?
        {
            change.remove_directory(&Bytes::from(directory), &record);
        }
    }
    Ok(())
}

/// All directories above some keys.
fn all_ancestors<'k>(keys: impl Iterator<Item = &'k Bytes>) -> BTreeSet<String> {
    let mut directories = BTreeSet::new();
    for path in keys.filter_map(|key| path::v2_path(key)) {
        for ancestor in path::ancestors(path) {
            // Then what is above it is known too.
            if directories.contains(ancestor) {
                break;
            }
            directories.insert(ancestor.to_owned());
        }
    }
    directories
}

/// Removes keys, and tells of each.
pub(super) fn remove_keys(
    change: &mut Change<'_>,
    action: Action,
    keys: Vec<(Bytes, KeyRecord)>,
) -> Result<(), TableError> {
    let directories = all_ancestors(keys.iter().map(|(key, _)| key));
    for (key, record) in keys {
        change.remove_key(&key, &record);
        let removal = change.removal(action, record.into_node(key));
        change.record(removal);
    }
    drop_implied_directories(change, directories)
}

/// Removes a key, and tells of it.
pub(super) fn remove_key(
    change: &mut Change<'_>,
    action: Action,
    key: &Bytes,
    record: KeyRecord,
) -> Result<Event, TableError> {
    change.remove_key(key, &record);
    if let Some(path) = path::v2_path(key) {
        drop_implied_ancestors(change, path)?;
    }
    Ok(change.removal(action, record.into_node(key.clone())))
}

/// Removes a directory with all that is in it, as far as v2 can see it, and with a key of the same
/// name, which it hid.
pub(super) fn remove_tree(
    change: &mut Change<'_>,
    action: Action,
    path: &str,
    record: DirectoryRecord,
) -> Result<Event, TableError> {
    let key = Bytes::copy_from_slice(path.as_bytes());
    let mut removed = Vec::new();
    if let Some(hidden_key) = KeyRecord::read(change.tables(), &key)? {
        change.remove_key(&key, &hidden_key);
        removed.push(hidden_key.into_node(key.clone()));
    }
    remove_directories_below(change, path, &mut removed)?;
    remove_keys_below(change, path, &mut removed)?;
    change.remove_directory(&key, &record);
    drop_implied_ancestors(change, path)?;
    let mut event = change.removal(action, record.into_node(key));
    event.removed_keys = removed;
    Ok(event)
}

type RawRows = Vec<(Bytes, Bytes)>;

fn rows_below(change: &Change<'_>, table: Table, path: &str) -> Result<RawRows, TableError> {
    let from = path::children_prefix(path);
    let to = path::after_children(&from);
    let rows = change.tables().range(table, from.as_bytes(), Some(&to));
    rows.collect()
}

fn remove_directories_below(
    change: &mut Change<'_>,
    path: &str,
    removed: &mut Vec<Node>,
) -> Result<(), TableError> {
    for (path, row) in rows_below(change, Table::Directories, path)? {
        let record = DirectoryRecord::decode(&path, &row)?;
        change.remove_directory(&path, &record);
        removed.push(record.into_node(path));
    }
    Ok(())
}

fn remove_keys_below(
    change: &mut Change<'_>,
    path: &str,
    removed: &mut Vec<Node>,
) -> Result<(), TableError> {
    for (key, row) in rows_below(change, Table::Keys, path)? {
        if path::v2_path(&key).is_some() {
            let record = KeyRecord::decode(&key, &row)?;
            change.remove_key(&key, &record);
            removed.push(record.into_node(key));
        }
    }
    Ok(())
}

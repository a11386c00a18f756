//! What holds of the rows between any two commands.
//!
//! It reads all rows, and knows nothing of how they came about.
use std::collections::BTreeSet;

use bytes::Bytes;

use crate::memory_tables::MemoryTables;
use crate::path;
use crate::query::level;
use crate::record::deadline::{Deadline, Kind};
use crate::record::directory::{DirectoryRecord, Origin};
use crate::record::key::{KeyNumbers, KeyRecord};
use crate::record::lease::{LeaseRecord, leased_key};
use crate::record::setting;
use crate::tables::{Table, Tables};

fn row_keys(tables: &MemoryTables, table: Table) -> BTreeSet<Bytes> {
    tables
        .range(table, b"", None)
        .map(|row| row.unwrap().0)
        .collect()
}

pub(super) fn check(tables: &MemoryTables) {
    let (mut leased, mut deadlines) = (BTreeSet::new(), BTreeSet::new());
    for row in tables.range(Table::Keys, b"", None) {
        let (key, row) = row.unwrap();
        let KeyRecord { numbers, .. } = KeyRecord::decode(&key, &row).unwrap();
        check_key(tables, &key, &numbers);
        leased.extend(numbers.lease.map(|lease| leased_key(lease, &key)));
        deadlines.extend(
            numbers
                .expires
                .map(|at| Deadline::row_key(at, Kind::Key, &key)),
        );
    }
    for row in tables.range(Table::Directories, b"", None) {
        let (path, row) = row.unwrap();
        let record = DirectoryRecord::decode(&path, &row).unwrap();
        check_directory(tables, std::str::from_utf8(&path).unwrap(), &record);
        let deadline = |at| Deadline::row_key(at, Kind::Directory, &path);
        deadlines.extend(record.expires.map(deadline));
    }
    assert_eq!(row_keys(tables, Table::LeasedKeys), leased);
    assert_eq!(row_keys(tables, Table::Deadlines), deadlines);
}

fn check_key(tables: &MemoryTables, key: &[u8], numbers: &KeyNumbers) {
    let revision = setting::revision(tables).unwrap();
    assert!(numbers.create_revision <= numbers.created_index);
    assert!(numbers.created_index <= numbers.modified && numbers.modified <= revision);
    assert!(numbers.version >= 1 && numbers.create_revision.0 >= 1);
    if let Some(lease) = numbers.lease {
        assert!(LeaseRecord::read(tables, lease).unwrap().is_some());
    }
    if let Some(path) = path::v2_path(key) {
        check_parent(tables, path, None);
    }
}

/// A directory has its record, and is there to stay if what is in it is.
fn check_parent(tables: &MemoryTables, path: &str, origin: Option<Origin>) {
    let parent = path::parent(path);
    if parent == path::ROOT {
        return;
    }
    let record = DirectoryRecord::read(tables, parent).unwrap();
    let record = record.unwrap_or_else(|| panic!("{parent} has no record"));
    if origin == Some(Origin::Made) {
        assert_eq!(record.origin, Origin::Made, "{parent}");
    }
}

fn check_directory(tables: &MemoryTables, path: &str, record: &DirectoryRecord) {
    check_parent(tables, path, Some(record.origin));
    assert!(path::v2_path(path.as_bytes()).is_some());
    assert!(record.modified <= setting::revision(tables).unwrap());
    if record.origin == Origin::Implied {
        assert!(!level::is_empty(tables, path).unwrap(), "{path} is empty");
        assert_eq!(record.expires, None);
    }
}

//! What stands directly in a v2 directory, in the order of names.
//!
//! It merges the tables of keys and of directories, and seeks past what is deeper. Hidden nodes are
//! not left out here.
use std::cmp::Ordering;

use bytes::Bytes;

use crate::event::Node;
use crate::path;
use crate::record::directory::DirectoryRecord;
use crate::record::key::KeyRecord;
use crate::tables::{Rows, Table, TableError, Tables};

/// So many rows of a sub-tree are read one by one before seeking to its end: a seek costs more than
/// a step, and most sub-trees are small.
const STEPS_MAX: usize = 8;

/// A node directly in the directory.
#[derive(Debug)]
pub(crate) enum Child {
    Key(Node),
    Directory(Node),
}

impl Child {
    pub(crate) fn node(&self) -> &Node {
        let (Self::Key(node) | Self::Directory(node)) = self;
        node
    }
}

/// The direct children in one table.
struct Cursor<'t> {
    tables: &'t dyn Tables,
    table: Table,
    prefix: String,
    end: Vec<u8>,
    rows: Rows<'t>,
    steps: usize,
    /// The row that comes next, if it was looked at already.
    peeked: Option<(Bytes, Bytes)>,
}

impl<'t> Cursor<'t> {
    fn new(tables: &'t dyn Tables, table: Table, prefix: &str, first_name: &str) -> Self {
        let end = path::after_children(prefix);
        let from = format!("{prefix}{first_name}");
        Self {
            rows: tables.range(table, from.as_bytes(), Some(&end)),
            prefix: prefix.to_owned(),
            steps: 0,
            peeked: None,
            tables,
            table,
            end,
        }
    }

    fn peek(&mut self) -> Result<Option<&Bytes>, TableError> {
        if self.peeked.is_none() {
            self.peeked = self.find()?;
        }
        Ok(self.peeked.as_ref().map(|(key, _)| key))
    }

    fn find(&mut self) -> Result<Option<(Bytes, Bytes)>, TableError> {
        while let Some(row) = self.rows.next() {
            let (key, value) = row?;
            let below = &key[self.prefix.len()..];
            if let Some(slash) = below.iter().position(|byte| *byte == b'/') {
                self.pass(&key[..=self.prefix.len() + slash]);
            } else if path::is_component(below) && std::str::from_utf8(below).is_ok() {
                self.steps = 0;
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    /// Goes on to after the sub-tree, by a step or by seeking.
    fn pass(&mut self, prefix: &[u8]) {
        self.steps += 1;
        if self.steps < STEPS_MAX {
            return;
        }
        self.steps = 0;
        let mut from = prefix.to_vec();
        if let Some(slash) = from.last_mut() {
            *slash = b'/' + 1;
        }
        self.rows = self.tables.range(self.table, &from, Some(&self.end));
    }
}

/// The children of a directory, one after the other.
pub(crate) struct Level<'t> {
    keys: Cursor<'t>,
    directories: Cursor<'t>,
    is_too_deep: bool,
}

impl<'t> Level<'t> {
    /// All whose names are not before the one given.
    pub(crate) fn new(tables: &'t dyn Tables, directory: &str, first_name: &str) -> Self {
        let prefix = path::children_prefix(directory);
        Self {
            keys: Cursor::new(tables, Table::Keys, &prefix, first_name),
            directories: Cursor::new(tables, Table::Directories, &prefix, first_name),
            is_too_deep: path::depth(directory) >= path::DEPTH_MAX,
        }
    }

    /// The next one. Of a key and a directory of one name, the directory alone.
    pub(crate) fn next(&mut self) -> Result<Option<Child>, TableError> {
        if self.is_too_deep {
            return Ok(None);
        }
        let order = match (self.keys.peek()?, self.directories.peek()?) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(key), Some(directory)) => key.cmp(directory),
        };
        let key = if order.is_le() {
            self.keys.peeked.take()
        } else {
            None
        };
        if order.is_ge()
            && let Some((path, row)) = self.directories.peeked.take()
        {
            let record = DirectoryRecord::decode(&path, &row)?;
            return Ok(Some(Child::Directory(record.into_node(path))));
        }
        let Some((key, row)) = key else {
            return Ok(None);
        };
        let record = KeyRecord::decode(&key, &row)?;
        Ok(Some(Child::Key(record.into_node(key))))
    }
}

/// The same as [`is_empty`] for a directory from which something at that path was just removed. It looks
/// first behind that: when many are removed in their order, all before it are gone already, and to pass
/// over them each time would take a time that grows with the square of their number.
pub(crate) fn is_empty_beside(
    tables: &dyn Tables,
    directory: &str,
    path: &str,
) -> Result<bool, TableError> {
    let below = &path[path::children_prefix(directory).len()..];
    let name = below.split('/').next().unwrap_or(below);
    if Level::new(tables, directory, name).next()?.is_some() {
        return Ok(false);
    }
    is_empty(tables, directory)
}

/// Whether nothing stands in a directory, not even something hidden.
pub(crate) fn is_empty(tables: &dyn Tables, directory: &str) -> Result<bool, TableError> {
    Ok(Level::new(tables, directory, "").next()?.is_none())
}

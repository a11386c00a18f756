//! Tables in memory: for tests, and for whoever wants a store that forgets.
//!
//! Nothing is durable.
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::tables::{Rows, Table, TableError, Tables, TablesMut};

/// All tables as one ordered map.
#[derive(Debug, Clone, Default)]
pub struct MemoryTables {
    rows: BTreeMap<(Table, Bytes), Bytes>,
}

impl Tables for MemoryTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        Ok(self
            .rows
            .get(&(table, Bytes::copy_from_slice(key)))
            .cloned())
    }

    fn range<'a>(&'a self, table: Table, from: &[u8], to: Option<&[u8]>) -> Rows<'a> {
        let first = Bound::Included((table, Bytes::copy_from_slice(from)));
        let to = to.map(Bytes::copy_from_slice);
        let rows = self.rows.range((first, Bound::Unbounded));
        let rows = rows.take_while(move |((of, key), _)| {
            *of == table && to.as_ref().is_none_or(|to| key < to)
        });
        Box::new(rows.map(|((_, key), value)| Ok((key.clone(), value.clone()))))
    }
}

impl TablesMut for MemoryTables {
    fn put(&mut self, table: Table, key: Bytes, value: Bytes) {
        self.rows.insert((table, key), value);
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        self.rows.remove(&(table, Bytes::copy_from_slice(key)));
    }
}

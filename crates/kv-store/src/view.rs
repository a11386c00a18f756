//! A consistent state of all tables at one moment.
//!
//! It stays as it is while others write; it does not keep events.
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kv_model::{Rows, Table, TableError, Tables};

use crate::base::BaseRows;
use crate::delta::{Change, Delta};
use crate::layers::Layers;
use crate::rows::{Merged, MergedRows};
use std::ops::Bound;

/// A consistent state of all tables. Cheap to take, for a single key too.
///
/// While one is held, the database cannot use the space of rows that were replaced meanwhile, and
/// deltas are copied rather than changed: do not keep it. When it is older than
/// [`crate::Options::view_age_max`], reading it is an error.
#[derive(Debug, Clone)]
pub struct View {
    layers: Arc<Layers>,
    deadline: Instant,
}

/// Reading from a view, or a snapshot, that was kept for too long.
#[derive(Debug, thiserror::Error)]
#[error("the view of the tables is too old: begin anew")]
pub struct ViewTooOld;

impl View {
    pub(crate) fn new(layers: Arc<Layers>, age_max: Duration) -> Self {
        Self {
            layers,
            deadline: Instant::now() + age_max,
        }
    }

    fn check_age(&self) -> Result<(), TableError> {
        if Instant::now() > self.deadline {
            return Err(TableError(Box::new(ViewTooOld)));
        }
        Ok(())
    }
}

impl Tables for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        self.check_age()?;
        get(&self.layers, table, key)
    }

    fn range<'a>(&'a self, table: Table, from: &[u8], to: Option<&[u8]>) -> Rows<'a> {
        if to.is_some_and(|to| to <= from) {
            return Box::new(std::iter::empty());
        }
        let rows = range(None, &self.layers, table, from, to);
        Box::new(rows.map(|row| self.check_age().and(row)))
    }
}

/// A row as the layers have it.
pub(crate) fn get(layers: &Layers, table: Table, key: &[u8]) -> Result<Option<Bytes>, TableError> {
    match layers.change(table, key).map(Change::value) {
        Some(value) => Ok(value.cloned()),
        None => layers.base.get(table, key),
    }
}

/// Rows as the layers have them, under a delta that is younger. `to` must be after `from`.
pub(crate) fn range<'a>(
    youngest: Option<&'a Delta>,
    layers: &'a Layers,
    table: Table,
    from: &[u8],
    to: Option<&[u8]>,
) -> MergedRows<'a> {
    let bounds = (
        Bound::Included(from),
        to.map_or(Bound::Unbounded, Bound::Excluded),
    );
    let deltas = youngest.into_iter().chain(layers.deltas());
    MergedRows::new(
        Merged::new(deltas, table, bounds),
        BaseRows::new(&layers.base, table, from, to),
    )
}

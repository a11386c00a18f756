//! Tables `Leases` (its number to its record) and `LeasedKeys` (its number and a key to nothing).
//!
//! When a lease ends is not here.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{decode, encode, sortable, take_sortable};
use crate::tables::{Table, TableError, Tables};
use crate::units::{LeaseEpoch, LeaseId};

/// A lease as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    pub(crate) epoch: LeaseEpoch,
    pub(crate) ttl_seconds: i64,
}

impl LeaseRecord {
    pub(crate) fn row_key(id: LeaseId) -> [u8; 8] {
        sortable(id.0)
    }

    pub(crate) fn read(tables: &dyn Tables, id: LeaseId) -> Result<Option<Self>, TableError> {
        let key = Self::row_key(id);
        let row = tables.get(Table::Leases, &key)?;
        row.map(|row| decode(Table::Leases, &key, &row)).transpose()
    }

    /// All of them, by number.
    pub(crate) fn all(
        tables: &dyn Tables,
    ) -> impl Iterator<Item = Result<(LeaseId, Self), TableError>> {
        tables.range(Table::Leases, b"", None).map(|row| {
            let (key, row) = row?;
            let (id, _) = take_sortable(Table::Leases, &key)?;
            Ok((LeaseId(id), decode(Table::Leases, &key, &row)?))
        })
    }

    pub(crate) fn encode(&self) -> Bytes {
        encode(self)
    }
}

pub(crate) fn leased_key(id: LeaseId, key: &[u8]) -> Bytes {
    [&sortable(id.0)[..], key].concat().into()
}

/// The keys that hang on a lease, in order.
pub(crate) fn leased_keys(tables: &dyn Tables, id: LeaseId) -> Result<Vec<Bytes>, TableError> {
    let from = sortable(id.0);
    let to = id.0.checked_add(1).map(sortable);
    let rows = tables.range(Table::LeasedKeys, &from, to.as_ref().map(|to| &to[..]));
    rows.map(|row| Ok(row?.0.slice(from.len()..))).collect()
}

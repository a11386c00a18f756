//! Table `Deadlines`: moment, kind and path of what expires by itself, to nothing.
//!
//! The rows sort by moment. Leases are not here: when they end is known to the leader alone, since
//! keeping one alive writes nothing.
use bytes::Bytes;

use super::{damaged, sortable, take_sortable};
use crate::tables::{Table, TableError, Tables};
use crate::units::UnixNanoseconds;

/// What expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Key = 0,
    Directory = 1,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: UnixNanoseconds,
    pub(crate) kind: Kind,
    pub(crate) path: Bytes,
}

impl Deadline {
    pub(crate) fn row_key(at: UnixNanoseconds, kind: Kind, path: &[u8]) -> Bytes {
        [&sortable(at.0)[..], &[kind as u8], path].concat().into()
    }

    pub(crate) fn decode(row_key: &Bytes) -> Result<Self, TableError> {
        let (at, rest) = take_sortable(Table::Deadlines, row_key)?;
        let kind = match rest.first() {
            Some(0) => Kind::Key,
            Some(1) => Kind::Directory,
            _ => {
                let error = postcard::Error::DeserializeBadEnum;
                return Err(damaged(Table::Deadlines, row_key, error));
            }
        };
        Ok(Self {
            at: UnixNanoseconds(at),
            kind,
            path: row_key.slice_ref(&rest[1..]),
        })
    }

    /// The next one.
    pub(crate) fn first(tables: &dyn Tables) -> Result<Option<Self>, TableError> {
        let row = tables.range(Table::Deadlines, b"", None).next();
        row.map(|row| Self::decode(&row?.0)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for kind in [Kind::Key, Kind::Directory] {
            let at = UnixNanoseconds(-5);
            let key = Deadline::row_key(at, kind, b"/a");
            let path = Bytes::from_static(b"/a");
            assert_eq!(Deadline::decode(&key).unwrap(), Deadline { at, kind, path });
        }
        assert!(Deadline::decode(&Bytes::from_static(b"12345678\x02/a")).is_err());
        assert!(Deadline::decode(&Bytes::from_static(b"12345678")).is_err());
    }
}

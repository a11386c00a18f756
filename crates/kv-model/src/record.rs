//! The rows of each table: what they mean, and their bytes.
//!
//! Numbers inside are postcard's. Keys that are scanned by number are big-endian with the sign
//! turned, so that their bytes sort as they do. A change of an encoding here is a change of the
//! format on disk and in snapshots.
pub(crate) mod auth;
pub(crate) mod deadline;
pub(crate) mod directory;
pub(crate) mod key;
pub(crate) mod lease;
pub(crate) mod setting;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::tables::{Table, TableError};

/// A row that is not what this crate writes.
#[derive(Debug, thiserror::Error)]
#[error(
    "the row {key:?} of table {table:?} is damaged, or of another version; restore this member from a backup, or replace it"
)]
struct DamagedRow {
    table: Table,
    key: Bytes,
    source: postcard::Error,
}

pub(crate) fn damaged(table: Table, key: &[u8], source: postcard::Error) -> TableError {
    let key = Bytes::copy_from_slice(key);
    TableError(Box::new(DamagedRow { table, key, source }))
}

fn decode<T: DeserializeOwned>(table: Table, key: &[u8], row: &[u8]) -> Result<T, TableError> {
    match postcard::take_from_bytes(row) {
        Ok((record, [])) => Ok(record),
        Ok(_) => Err(damaged(table, key, postcard::Error::DeserializeBadEncoding)),
        Err(source) => Err(damaged(table, key, source)),
    }
}

/// Never fails in fact: the records are plain structures, and a vector grows.
fn encode<T: Serialize>(record: &T) -> Bytes {
    postcard::to_stdvec(record)
        .expect("plain structures can be written to a vector")
        .into()
}

/// Eight bytes that sort as the number does.
pub(crate) const fn sortable(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

/// The number of [`sortable`] bytes at the beginning, and the rest.
pub(crate) fn take_sortable(table: Table, key: &[u8]) -> Result<(i64, &[u8]), TableError> {
    match key.split_first_chunk() {
        Some((bytes, rest)) => Ok((i64::from_be_bytes(*bytes) ^ i64::MIN, rest)),
        None => Err(damaged(
            table,
            key,
            postcard::Error::DeserializeUnexpectedEnd,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_their_bytes() {
        let numbers = [i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX];
        for pair in numbers.windows(2) {
            assert!(sortable(pair[0]) < sortable(pair[1]));
        }
        for number in numbers {
            let bytes = [&sortable(number)[..], b"rest"].concat();
            let (read, rest) = take_sortable(Table::Leases, &bytes).unwrap();
            assert_eq!((read, rest), (number, &b"rest"[..]));
        }
        assert!(take_sortable(Table::Leases, b"short").is_err());
    }
}

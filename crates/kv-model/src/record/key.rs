//! Table `Keys`: a key's bytes to its numbers, followed by its value as it is.
//!
//! The value comes last and without a length, so that reading it copies nothing.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::damaged;
use crate::event::{Content, Node};
use crate::tables::{Table, TableError, Tables};
use crate::units::{LeaseId, Revision, UnixNanoseconds};

/// More than the longest [`KeyNumbers`] takes.
const NUMBERS_BYTES_MAX: usize = 80;

/// What is kept of a key beside its value. Meanings as in [`Node`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyNumbers {
    pub(crate) created_index: Revision,
    pub(crate) create_revision: Revision,
    pub(crate) modified: Revision,
    pub(crate) version: u64,
    pub(crate) expires: Option<UnixNanoseconds>,
    pub(crate) lease: Option<LeaseId>,
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) value: Bytes,
    pub(crate) numbers: KeyNumbers,
}

impl KeyRecord {
    pub(crate) fn read(tables: &dyn Tables, key: &[u8]) -> Result<Option<Self>, TableError> {
        let row = tables.get(Table::Keys, key)?;
        row.map(|row| Self::decode(key, &row)).transpose()
    }

    pub(crate) fn decode(key: &[u8], row: &Bytes) -> Result<Self, TableError> {
        let (numbers, value) =
            postcard::take_from_bytes(row).map_err(|error| damaged(Table::Keys, key, error))?;
        let value = row.slice_ref(value);
        Ok(Self { value, numbers })
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut buffer = [0; NUMBERS_BYTES_MAX];
        let numbers = postcard::to_slice(&self.numbers, &mut buffer)
            .expect("six numbers of ten bytes and two marks fit in");
        [&*numbers, &self.value].concat().into()
    }

    pub(crate) fn into_node(self, key: Bytes) -> Node {
        let KeyNumbers {
            created_index,
            create_revision,
            modified,
            version,
            expires,
            lease,
        } = self.numbers;
        Node {
            key,
            content: Content::Value(self.value),
            created_index,
            create_revision,
            modified,
            version,
            expires,
            lease,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_of_the_largest_numbers() {
        let numbers = KeyNumbers {
            created_index: Revision(u64::MAX),
            create_revision: Revision(u64::MAX),
            modified: Revision(u64::MAX),
            version: u64::MAX,
            expires: Some(UnixNanoseconds(i64::MIN)),
            lease: Some(LeaseId(i64::MIN)),
        };
        for value in [Bytes::new(), Bytes::from_static(b"\0value\xff")] {
            let record = KeyRecord { value, numbers };
            assert_eq!(KeyRecord::decode(b"k", &record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn a_damaged_row_is_an_error() {
        let error = KeyRecord::decode(b"k", &Bytes::from_static(b"\x80")).unwrap_err();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains("b\"k\"") && text.contains("Keys"), "{text}");
    }
}

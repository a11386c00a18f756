//! The hash at the root of a verity tree, which names a version of the operating system.
//!
//! Does not compute hashes.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

/// The SHA-256 root hash of a verity tree; its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootHash(pub [u8; 32]);

/// Text that is no root hash.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no root hash: that is 64 hexadecimal digits")]
pub struct InvalidRootHash(pub String);

impl RootHash {
    /// The GUID of the partition with the data: the first half of the hash (Discoverable
    /// Partitions Specification, "root verity partition").
    pub fn data_partition_guid(&self) -> Uuid {
        self.half(0)
    }

    /// The GUID of the partition with the hash tree: the second half of the hash.
    pub fn hash_partition_guid(&self) -> Uuid {
        self.half(16)
    }

    fn half(&self, start: usize) -> Uuid {
        Uuid::from_bytes(std::array::from_fn(|index| self.0[start + index]))
    }
}

impl Display for RootHash {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for RootHash {
    type Err = InvalidRootHash;

    fn from_str(text: &str) -> Result<Self, InvalidRootHash> {
        let invalid = || InvalidRootHash(text.to_owned());
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(invalid());
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hexadecimal_pair(pair).ok_or_else(invalid)?;
        }
        Ok(Self(hash))
    }
}

/// Writes bytes as lower-case hexadecimal digits.
pub(super) struct Hexadecimal<'a>(pub(super) &'a [u8]);

impl Display for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

fn hexadecimal_pair(pair: &[u8]) -> Option<u8> {
    pair.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u8::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

    #[test]
    fn text_round_trips() {
        let hash: RootHash = TEXT.parse().unwrap();
        assert_eq!(hash.to_string(), TEXT);
        assert_eq!(TEXT.to_uppercase().parse(), Ok(hash));
    }

    #[test]
    fn partition_guids_are_the_halves() {
        let hash: RootHash = TEXT.parse().unwrap();
        assert_eq!(
            hash.data_partition_guid().to_string(),
            "00112233-4455-6677-8899-aabbccddeeff"
        );
        assert_eq!(
            hash.hash_partition_guid().to_string(),
            "01234567-89ab-cdef-0123-456789abcdef"
        );
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            &TEXT[1..],
            &TEXT.replace('e', "g"),
            &TEXT.replace("00", "é"),
        ] {
            assert_eq!(
                text.parse::<RootHash>(),
                Err(InvalidRootHash(text.to_owned()))
            );
        }
    }
}

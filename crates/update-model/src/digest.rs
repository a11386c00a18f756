//! SHA-256 digests as text, and root hashes as text in documents.
//!
//! Does not hash.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use disk_format::verity::RootHash;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The SHA-256 digest of a file; its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileDigest(pub [u8; 32]);

/// Text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no SHA-256 digest: that is 64 hexadecimal digits")]
pub struct InvalidDigest(pub String);

impl Display for FileDigest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        RootHash(self.0).fmt(formatter)
    }
}

impl FromStr for FileDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let hash: RootHash = text.parse().map_err(|_| InvalidDigest(text.to_owned()))?;
        Ok(Self(hash.0))
    }
}

impl Serialize for FileDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        as_text::deserialize(deserializer)
    }
}

/// For `#[serde(with)]`: whatever has a text form, as that.
pub mod as_text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    /// Writes the text form.
    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads the text form.
    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let text = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
        let digest: FileDigest = text.parse().unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("{text:?}"));
        assert!(serde_json::from_str::<FileDigest>("\"00\"").is_err());
    }
}

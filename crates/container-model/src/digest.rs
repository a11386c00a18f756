//! The SHA-256 digest by which content is named: `sha256:` and 64 hexadecimal digits.
//!
//! Computes none: who has the bytes does. Other algorithms are refused by name.

use std::fmt;
use std::str::FromStr;

use crate::malformed::Malformed;

/// The only algorithm that registries use in practice.
const PREFIX: &str = "sha256:";

/// A digest; it prints as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Of a hash.
    pub fn from_sha256(hash: &[u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = PREFIX.to_owned();
        for byte in hash {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// With the algorithm.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the algorithm.
    pub fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }
}

impl FromStr for Digest {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason| Err(Malformed::new("digest", text, reason));
        let Some(hex) = text.strip_prefix(PREFIX) else {
            return refuse("it must begin with `sha256:`, the only algorithm that is supported");
        };
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != 64 || !hex.bytes().all(is_hex) {
            return refuse("after `sha256:` there must be 64 lower-case hexadecimal digits");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_and_made() {
        let digest = Digest::from_sha256(&[0xab; 32]);
        let text = digest.to_string();
        assert_eq!(text, format!("sha256:{}", "ab".repeat(32)));
        assert_eq!(text.parse(), Ok(digest.clone()));
        assert_eq!(digest.hex(), "ab".repeat(32));
        for bad in [
            "",
            "sha256:",
            "sha512:00",
            &text.to_uppercase(),
            &text[..70],
        ] {
            bad.parse::<Digest>().unwrap_err();
        }
    }
}

//! Names of containers, networks, volumes and secrets: Docker's rule, with a limit that file names have too.
//!
//! Knows no unit names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::malformed::Malformed;

/// So many bytes leave room for what is put before or after a name in a file's name.
const LENGTH_MAX: usize = 128;

/// A name: letters, digits, `_`, `.` and `-`, and the first is a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_good = text.bytes().all(is_inner) && text.starts_with(|c: char| c.is_alphanumeric());
        if is_good && text.len() <= LENGTH_MAX {
            return Ok(Self(text.to_owned()));
        }
        let reason =
            "up to 128 letters, digits, `_`, `.` and `-` are wanted, the first a letter or digit";
        Err(Malformed::new("name", text, reason))
    }
}

impl TryFrom<String> for Name {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_file_names() {
        for good in ["a", "web-1", "A_b.c", "7"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-a", "a/b", "a b", "ü", &"a".repeat(129)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}

//! Versions of the operating system and their order.
//!
//! Order: the Version Format Specification (<https://uapi-group.org/specifications/specs/version_format_specification/>),
//! by which the boot loader sorts its entries too. `1.2~rc1` < `1.2` < `1.2^post` < `1.2.1`.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use disk_format::boot_entry::is_valid_version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A version as it stands in the name of its boot entry.
#[derive(Clone, Debug)]
pub struct Version(String);

/// Text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no version: it must be of letters, digits, '.', '~', '^' and '-'")]
pub struct InvalidVersion(pub String);

impl Version {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Version {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if !is_valid_version(text) {
            return Err(InvalidVersion(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Versions that compare equal, such as `1.0` and `1.00`, are one version.
impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Separators, in the order in which they decide: whoever has one where the other has none is older.
const SEPARATORS: [u8; 3] = [b'-', b'^', b'.'];

fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        if let Some(order) = compare_separators(&mut a, &mut b) {
            return order;
        }
        let order = if starts_with_digit(a) || starts_with_digit(b) {
            compare_numbers(take(&mut a, is_digit), take(&mut b, is_digit))
        } else {
            let letters = |byte: u8| byte.is_ascii_alphabetic();
            take(&mut a, letters).cmp(take(&mut b, letters))
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Decides by what is at the front, or takes a separator that both have; `None` if letters or digits
/// decide next.
fn compare_separators(a: &mut &[u8], b: &mut &[u8]) -> Option<Ordering> {
    loop {
        let (first_a, first_b) = (a.first().copied(), b.first().copied());
        let has = |separator: u8| [first_a, first_b].contains(&Some(separator));
        let separator = if has(b'~') {
            b'~'
        } else if first_a.is_none() || first_b.is_none() {
            return Some(a.len().cmp(&b.len()));
        } else {
            SEPARATORS.into_iter().find(|separator| has(*separator))?
        };
        if first_a != first_b {
            let is_older = first_a == Some(separator);
            return Some(if is_older {
                Ordering::Less
            } else {
                Ordering::Greater
            });
        }
        (*a, *b) = (&a[1..], &b[1..]);
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().copied().is_some_and(is_digit)
}

/// Takes the front of the text for which this holds.
fn take<'a>(text: &mut &'a [u8], holds: fn(u8) -> bool) -> &'a [u8] {
    let end = text
        .iter()
        .position(|byte| !holds(*byte))
        .unwrap_or(text.len());
    let (front, rest) = text.split_at(end);
    *text = rest;
    front
}

/// Numbers of any length; nothing at all is less than 0.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        digits
            .iter()
            .position(|d| *d != b'0')
            .map_or(0, |at| digits.len() - at)
    };
    let (length_a, length_b) = (significant(a), significant(b));
    let by_value = length_a
        .cmp(&length_b)
        .then_with(|| a[a.len() - length_a..].cmp(&b[b.len() - length_b..]));
    by_value.then_with(|| (!a.is_empty()).cmp(&!b.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From oldest to newest; the specification's own examples among them.
    const ORDERED: &[&str] = &[
        "0~1",
        "0",
        "1",
        "9",
        "10",
        "122.1",
        "123~rc1-1",
        "123",
        "123-a",
        "123-a.1",
        "123-1",
        "123-1.1",
        "123^post1",
        "123.a-1",
        "123.1-1",
        "123a-1",
        "124-1",
    ];

    #[test]
    fn the_specification_s_order() {
        for (index, one) in ORDERED.iter().enumerate() {
            for (other_index, other) in ORDERED.iter().enumerate() {
                let [a, b]: [Version; 2] = [one, other].map(|text| text.parse().unwrap());
                assert_eq!(a.cmp(&b), index.cmp(&other_index), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_dev_build_is_older_than_its_release() {
        let [dev, release]: [Version; 2] =
            ["0.1.0~20261122.ab", "0.1.0"].map(|text| text.parse().unwrap());
        assert!(dev < release);
    }

    #[test]
    fn zeros_in_front_do_not_count() {
        let [a, b]: [Version; 2] = ["1.007", "1.7"].map(|text| text.parse().unwrap());
        assert_eq!(a, b);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "1_2", "1+2", "../1", "1 2", "é"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}

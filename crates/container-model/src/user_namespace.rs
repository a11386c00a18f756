//! `--userns`: whether a container's users are the machine's, or numbers of its own range that mean nothing to the machine.
//!
//! Makes no namespace. Which ranges others have is passed in: whoever keeps that holds a lock.

use core::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::malformed::Malformed;

/// As many users and groups as a container has: those that fit into 16 bits.
pub const COUNT: u32 = 65536;
/// The numbers that systemd keeps for containers (`systemd-nspawn -U`), in whole ranges.
const FIRST: u32 = 0x0008_0000;
const LAST: u32 = 0x6fff_0000;

/// `--userns`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserNamespace {
    /// The machine's users.
    #[default]
    Host,
    /// A range of numbers that no other container has.
    Auto,
}

/// The machine's numbers of one container's users and groups; its root is the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdRange {
    /// Of [`COUNT`] numbers.
    pub first: u32,
}

impl IdRange {
    /// The machine's number of a user or group of the container, if there is one.
    pub fn outside(self, inside: u32) -> Option<u32> {
        (inside < COUNT).then(|| self.first + inside)
    }

    fn overlaps(self, other: Self) -> bool {
        self.first.abs_diff(other.first) < COUNT
    }
}

/// `INSIDE:OUTSIDE:COUNT`, as unshare(1) and mount(8) have it.
impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0:{}:{COUNT}", self.first)
    }
}

/// The lowest range that nobody has; none if all are taken.
pub fn choose(taken: &[IdRange]) -> Option<IdRange> {
    let all = (FIRST..=LAST).step_by(COUNT as usize);
    let mut all = all.map(|first| IdRange { first });
    all.find(|range| !taken.iter().any(|other| other.overlaps(*range)))
}

impl FromStr for UserNamespace {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Err(Malformed::new("user namespace", text, reason));
        match text.split(':').next().unwrap_or_default() {
            "host" if text == "host" => Ok(Self::Host),
            "auto" if text == "auto" => Ok(Self::Auto),
            "auto" => refuse("a range is 65536 numbers: `auto` has no options"),
            "keep-id" | "nomap" => refuse(
                "containers are root's, who has no number to keep: `auto` maps all, `--user` says who runs",
            ),
            "container" | "ns" => refuse("another's is not supported: `host` and `auto` are"),
            _ => refuse("`host` and `auto` are known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_given_once() {
        let first = choose(&[]).unwrap();
        assert_eq!(first.to_string(), "0:524288:65536");
        let second = choose(&[first]).unwrap();
        assert_eq!(second.first, first.first + COUNT);
        assert_eq!(choose(&[second]), Some(first));
        // One that somebody else cut.
        let odd = IdRange { first: FIRST + 7 };
        assert_eq!(choose(&[odd]).unwrap().first, FIRST + 2 * COUNT);
        let all: Vec<IdRange> = (FIRST..=LAST)
            .step_by(COUNT as usize)
            .map(|first| IdRange { first })
            .collect();
        assert_eq!(choose(&all[1..]), Some(first));
        assert_eq!(first.outside(33), Some(FIRST + 33));
        assert_eq!(first.outside(COUNT), None);
    }

    #[test]
    fn what_makes_no_sense_for_root_is_refused_with_the_reason() {
        assert_eq!("host".parse(), Ok(UserNamespace::Host));
        assert_eq!("auto".parse(), Ok(UserNamespace::Auto));
        for bad in [
            "",
            "keep-id",
            "keep-id:uid=1",
            "nomap",
            "auto:size=7",
            "ns:/a",
            "x",
        ] {
            let error = bad.parse::<UserNamespace>().unwrap_err().to_string();
            assert!(error.contains("auto"), "{error}");
        }
        let error = "keep-id".parse::<UserNamespace>().unwrap_err();
        assert!(error.to_string().contains("no number to keep"), "{error}");
    }
}

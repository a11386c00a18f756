//! The cluster's reboot lock: a semaphore for each group of machines, of which a machine takes a slot before it
//! reboots and gives it back once it is healthy again.
//!
//! The document is a value of the key-value store, under [`key`], and a public format:
//!
//! ```json
//! {"slots":1,"holders":{"0123456789abcdef0123456789abcdef":{"since":"2026-11-28T02:00:00Z"}}}
//! ```
//!
//! A group without a document has one slot and no holder. Whoever changes the document does so on the condition
//! that it is as it was read. It hangs on no lease: a machine that reboots keeps its slot, and one that does not
//! come back keeps it until somebody takes it away. Does not talk to a store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where the documents stand; a group's name follows.
const PREFIX: &str = "/keelson/reboot-lock/";
/// Longest name of a group or a machine, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Semaphore {
    /// So many machines may reboot at once; with 0 none may.
    pub slots: u32,
    /// Who does, by machine id.
    pub holders: BTreeMap<String, Holder>,
}

/// Of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// When it was taken.
    pub since: Timestamp,
}

/// No slot is free.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("all {slots} slots are taken: {}", holders.join(", "))]
pub struct Full {
    /// How many there are.
    pub slots: u32,
    /// Who has them.
    pub holders: Vec<String>,
}

/// A value that is no such document.
#[derive(Debug, Error)]
#[error("the value of {key} is no reboot lock")]
pub struct InvalidSemaphore {
    /// Its key.
    pub key: String,
    /// What is wrong.
    pub source: serde_json::Error,
}

impl Default for Semaphore {
    fn default() -> Self {
        Self {
            slots: 1,
            holders: BTreeMap::new(),
        }
    }
}

impl Semaphore {
    /// Reads a group's document; `None` is that there is none.
    pub fn parse(group: &str, value: Option<&[u8]>) -> Result<Self, InvalidSemaphore> {
        let Some(value) = value else {
            return Ok(Self::default());
        };
        serde_json::from_slice(value).map_err(|source| InvalidSemaphore {
            key: key(group),
            source,
        })
    }

    /// The document.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: the map's keys are text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Takes a slot. Whoever has one keeps it, with the time at which it was taken.
    pub fn take(&mut self, machine: &str, now: Timestamp) -> Result<(), Full> {
        if self.holders.contains_key(machine) {
            return Ok(());
        }
        let taken = u32::try_from(self.holders.len()).unwrap_or(u32::MAX);
        if taken >= self.slots {
            return Err(Full {
                slots: self.slots,
                holders: self.holders.keys().cloned().collect(),
            });
        }
        self.holders
            .insert(machine.to_owned(), Holder { since: now });
        Ok(())
    }

    /// Gives a slot back; says whether it was held.
    pub fn release(&mut self, machine: &str) -> bool {
        self.holders.remove(machine).is_some()
    }
}

/// The key of a group's document.
pub fn key(group: &str) -> String {
    format!("{PREFIX}{group}")
}

/// Whether this is a group's name, as FleetLock has them; here none begins with a dot or is very long.
pub fn is_group(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(valid)
}

/// Whether a machine can be called so.
pub fn is_machine(id: &str) -> bool {
    !id.is_empty() && id.len() <= NAME_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_slot_goes_round() {
        let mut semaphore = Semaphore::default();
        semaphore.take("a", at(1)).unwrap();
        semaphore.take("a", at(2)).unwrap();
        assert_eq!(semaphore.holders["a"].since, at(1));
        let full = semaphore.take("b", at(3)).unwrap_err();
        assert_eq!(full.to_string(), "all 1 slots are taken: a");
        assert!(!semaphore.release("b"));
        assert!(semaphore.release("a"));
        assert!(!semaphore.release("a"));
        semaphore.take("b", at(4)).unwrap();
    }

    #[test]
    fn fewer_slots_take_nothing_away() {
        let mut semaphore = Semaphore {
            slots: 2,
            ..Semaphore::default()
        };
        semaphore.take("a", at(1)).unwrap();
        semaphore.take("b", at(1)).unwrap();
        semaphore.slots = 1;
        semaphore.take("a", at(2)).unwrap();
        assert!(semaphore.release("a"));
        assert!(semaphore.take("a", at(3)).is_err());
        semaphore.slots = 0;
        assert!(semaphore.release("b"));
        assert!(semaphore.take("a", at(4)).is_err());
    }

    #[test]
    fn the_document_is_as_published() {
        let text = r#"{"slots":1,"holders":{"a":{"since":"2026-11-28T02:00:00Z"}}}"#;
        let semaphore = Semaphore::parse("default", Some(text.as_bytes())).unwrap();
        assert_eq!(semaphore.to_json(), text);
        assert_eq!(key("default"), "/keelson/reboot-lock/default");
        assert_eq!(Semaphore::parse("x", None).unwrap(), Semaphore::default());
        for other in [
            r#"{"slots":1}"#,
            "",
            r#"{"slots":1,"holders":{},"colour":1}"#,
        ] {
            let error = Semaphore::parse("x", Some(other.as_bytes())).unwrap_err();
            assert!(error.to_string().contains("/keelson/reboot-lock/x"));
        }
    }

    #[test]
    fn names_are_bounded() {
        assert!(is_group("default") && is_group("tier-1.Web"));
        for name in ["", ".", "..", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert!(!is_group(name), "{name}");
        }
        assert!(is_machine("0123") && is_machine("node-1_a"));
        assert!(!is_machine("") && !is_machine("a b") && !is_machine("a\n"));
    }

    proptest! {
        #[test]
        fn never_more_than_slots_take_one(
            slots in 0_u32..4,
            steps in prop::collection::vec((0_u8..6, any::<bool>()), 0..60),
        ) {
            let mut semaphore = Semaphore { slots, ..Semaphore::default() };
            for (machine, takes) in steps {
                let machine = machine.to_string();
                let held = semaphore.holders.contains_key(&machine);
                if takes {
                    let free = semaphore.holders.len() < slots as usize;
                    prop_assert_eq!(semaphore.take(&machine, at(0)).is_ok(), held || free);
                } else {
                    prop_assert_eq!(semaphore.release(&machine), held);
                }
                prop_assert!(semaphore.holders.len() <= slots as usize);
                let text = semaphore.to_json();
                prop_assert_eq!(&Semaphore::parse("x", Some(text.as_bytes())).unwrap(), &semaphore);
            }
        }
    }
}

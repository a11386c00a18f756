//! Both sides, key by key: counted, hashed, compared.
//!
//! Pure: keys are given to it in their order.
use std::fmt;

use sha2::{Digest as _, Sha256};

/// Keys and values of one side.
#[derive(Debug, Clone, Default)]
struct Digest {
    keys: u64,
    hash: Sha256,
}

impl Digest {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.keys += 1;
        for part in [key, value] {
            // So that no two lists of keys and values look the same.
            self.hash.update((part.len() as u64).to_be_bytes());
            self.hash.update(part);
        }
    }

    fn hex(&self) -> String {
        let hash = self.hash.clone().finalize();
        let hex = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
        hex.collect::<Vec<_>>().concat()
    }
}

/// What was found on both sides.
#[derive(Debug, Clone, Default)]
pub(super) struct Comparison {
    source: Digest,
    /// Of those keys that the source has too.
    target: Digest,
    /// Keys that only the target has.
    others: u64,
    /// A key that is missing in the target, or has another value there.
    first_difference: Option<String>,
}

impl Comparison {
    /// A key of the source, and its value in the target if it is there.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8], in_target: Option<&[u8]>) {
        self.source.add(key, value);
        if let Some(found) = in_target {
            self.target.add(key, found);
        }
        if in_target != Some(value) && self.first_difference.is_none() {
            self.first_difference = Some(String::from_utf8_lossy(key).into_owned());
        }
    }

    /// A key that only the target has.
    pub(super) fn add_other(&mut self) {
        self.others += 1;
    }

    /// Whether everything of the source is in the target.
    pub(super) fn is_equal(&self) -> bool {
        self.first_difference.is_none()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = [("source", &self.source), ("target", &self.target)];
        for (name, digest) in sides {
            writeln!(out, "{name}: {} keys, hash {}", digest.keys, digest.hex())?;
        }
        if self.others > 0 {
            let others = self.others;
            writeln!(
                out,
                "{others} keys are in the target only, and were left alone"
            )?;
        }
        match &self.first_difference {
            None => out.write_str("both sides are equal"),
            Some(key) => write!(
                out,
                "the sides differ, first at {key}: the source still changes, or somebody writes to the target"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found() {
        let mut equal = Comparison::default();
        equal.add(b"a", b"1", Some(b"1"));
        equal.add_other();
        assert!(equal.is_equal());
        assert_eq!(equal.source.hex(), equal.target.hex());
        let mut changed = equal.clone();
        changed.add(b"b", b"1", Some(b"2"));
        assert!(!changed.is_equal());
        assert_ne!(changed.source.hex(), changed.target.hex());
        let mut missing = equal;
        missing.add(b"b", b"1", None);
        assert!(!missing.is_equal() && missing.to_string().contains("first at b"));
    }
}

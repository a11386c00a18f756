//! Random numbers for ids.
//!
//! From the operating system's entropy by way of the standard library's hash keys; good enough for
//! ids that must differ, not for secrets.
use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that nobody else has; never 0.
pub(crate) fn number() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u128(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos()),
    );
    hasher.write_u32(std::process::id());
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn numbers_differ() {
        let numbers: BTreeSet<u64> = (0..1000).map(|_| super::number()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}

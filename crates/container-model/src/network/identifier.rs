//! Names that the kernel and netavark know networks and containers by: made of a hash, since they are to be short,
//! or are looked for in lines of text.
//!
//! Equal names give equal identifiers, so that what a crash left is found again.

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// As many hexadecimal digits as fit behind a prefix of three letters: the kernel takes 15 bytes.
const SHORT: usize = 12;

/// 64 hexadecimal digits for something of a kind.
pub(super) fn long(kind: &str, name: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(format!("{kind}/{name}")).into();
    Digest::from_sha256(&hash).hex().to_owned()
}

/// The name of an interface.
pub(super) fn interface(prefix: &str, kind: &str, name: &str) -> String {
    format!("{prefix}{}", &long(kind, name)[..SHORT])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_short_and_differ() {
        let one = interface("kb-", "network", "a");
        assert_eq!(one.len(), 15);
        assert_eq!(one, interface("kb-", "network", "a"));
        assert_ne!(one, interface("kb-", "network", "b"));
        assert_ne!(long("network", "a"), long("container", "a"));
    }
}

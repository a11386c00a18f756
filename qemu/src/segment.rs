//! A network segment that machines of one host share: each has a second network device on it, and everything
//! one sends there reaches the others.
//!
//! It is UDP multicast on the host's loopback, so that it needs no privileges, is there as soon as a machine
//! uses it, and joins machines of different processes. Nobody gives addresses out on it, and it leads nowhere
//! else. It keeps nothing secret from other users of the host.

use std::fmt;
use std::net::Ipv4Addr;

use sha2::{Digest as _, Sha256};

/// A network segment; machines with equal ones see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    group: Ipv4Addr,
    port: u16,
}

/// The address of a network device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HardwareAddress([u8; 6]);

impl Segment {
    /// The segment of this name, in this process and every other.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let digest = Sha256::digest(name);
        Self {
            // 239.0.0.0/8 is for whoever wants to use it, and not routed.
            group: Ipv4Addr::new(239, digest[0], digest[1], digest[2]),
            // Below the ports that the system gives out by itself.
            port: 16_384 + (u16::from_be_bytes([digest[3], digest[4]]) & 0x3fff),
        }
    }

    /// QEMU's options of the device's other end.
    pub(crate) fn options(self) -> String {
        let Self { group, port } = self;
        format!("socket,id=segment,mcast={group}:{port},localaddr=127.0.0.1")
    }
}

impl HardwareAddress {
    /// One that no other machine of the segment has: QEMU gives all machines the same.
    pub(crate) fn random() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        let random = RandomState::new().hash_one(std::process::id());
        let [a, b, c, ..] = random.to_be_bytes();
        // QEMU's own prefix.
        Self([0x52, 0x54, 0x00, a, b, c])
    }
}

impl fmt::Display for HardwareAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        formatter.write_str(&pairs.join(":"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_and_no_other() {
        assert_eq!(Segment::named("desk"), Segment::named("desk"));
        assert_ne!(Segment::named("desk"), Segment::named("desk2"));
        let options = Segment::named("desk").options();
        assert!(
            options.starts_with("socket,id=segment,mcast=239."),
            "{options}"
        );
    }

    #[test]
    fn devices_have_addresses_of_their_own() {
        let address = HardwareAddress::random();
        assert_ne!(address, HardwareAddress::random());
        let text = address.to_string();
        assert!(text.starts_with("52:54:00:") && text.len() == 17, "{text}");
    }
}

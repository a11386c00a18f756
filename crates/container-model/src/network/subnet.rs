//! Subnets: what a network has, and which one a new network gets.
//!
//! Which subnets are taken, by other networks or by routes of the machine, is passed in.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What of a network's addresses are where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subnet {
    /// All of them.
    pub network: IpNet,
    /// The bridge's own; the first if none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Those that containers get which ask for none; all if none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<IpNet>,
}

impl Subnet {
    /// One with nothing but its addresses.
    pub fn new(network: impl Into<IpNet>) -> Self {
        Self {
            network: network.into(),
            gateway: None,
            range: None,
        }
    }

    /// The bridge's own address.
    pub fn gateway(&self) -> IpAddr {
        self.gateway.unwrap_or_else(|| first_host(self.network))
    }

    /// What of it contradicts itself.
    pub(super) fn check(&self) -> Result<(), String> {
        let network = self.network;
        if network != network.trunc() {
            return Err(format!(
                "{network} is an address and no subnet: {}",
                network.trunc()
            ));
        }
        let free = network.max_prefix_len() - network.prefix_len();
        if free < 2 {
            return Err(format!(
                "{network} has no room for a bridge and a container"
            ));
        }
        let gateway = self.gateway();
        if !is_host(network, gateway) {
            return Err(format!("the gateway {gateway} is no address of {network}"));
        }
        match self.range {
            Some(range) if range != range.trunc() || !network.contains(&range) => {
                Err(format!("the range {range} is no part of {network}"))
            }
            _ => Ok(()),
        }
    }
}

/// The address after the subnet's own.
pub(super) fn first_host(network: IpNet) -> IpAddr {
    match network.trunc().addr() {
        IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() + 1)),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() + 1)),
    }
}

/// Whether an interface may have it: it is in the subnet, and neither its first nor, with IPv4, its last.
pub(super) fn is_host(network: IpNet, address: IpAddr) -> bool {
    let is_last = address.is_ipv4() && address == network.broadcast();
    network.contains(&address) && address != network.network() && !is_last
}

fn overlaps(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// What the default network has, where nobody else has it.
const DEFAULT: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 88, 0, 0), 16);
/// The first of those that others get, podman's; the last is 10.255.255.0/24.
const POOL: Ipv4Addr = Ipv4Addr::new(10, 89, 0, 0);
const POOL_END: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 0);
const STEP: u32 = 256;

/// A subnet that overlaps none of those that are taken; none if all are.
pub fn choose_v4(is_default: bool, taken: &[IpNet]) -> Option<Ipv4Net> {
    let is_free = |one: &Ipv4Net| !taken.iter().any(|other| overlaps((*one).into(), *other));
    let pool = (POOL.to_bits()..=POOL_END.to_bits()).step_by(STEP as usize);
    let pool = pool.map(|bits| Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), 24));
    let preferred = is_default.then_some(DEFAULT);
    preferred.into_iter().chain(pool).find(is_free)
}

/// A subnet of unique local addresses, made of a seed that another machine does not have; none if all that
/// differ in the part for sites are taken.
pub fn choose_v6(seed: &str, taken: &[IpNet]) -> Option<Ipv6Net> {
    let hash = Sha256::digest(seed);
    let global = hash
        .iter()
        .take(5)
        .fold(0xfd_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    let one = |site: u16| {
        let bits = (global << 80) | (u128::from(site) << 64);
        Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), 64)
    };
    let is_free = |one: &Ipv6Net| !taken.iter().any(|other| overlaps((*one).into(), *other));
    (0..=u16::MAX).map(one).find(is_free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn v4(is_default: bool, taken: &[&str]) -> Option<String> {
        choose_v4(is_default, &nets(taken)).map(|net| net.to_string())
    }

    #[test]
    fn what_is_taken_is_not_chosen() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(v4(true, &[]), some("10.88.0.0/16"));
        assert_eq!(v4(true, &["10.88.7.0/24"]), some("10.89.0.0/24"));
        assert_eq!(v4(false, &[]), some("10.89.0.0/24"));
        let taken = [
            "10.89.0.0/24",
            "10.89.1.128/25",
            "10.89.2.0/23",
            "192.168.0.0/16",
            "::/0",
        ];
        assert_eq!(v4(false, &taken), some("10.89.4.0/24"));
        assert_eq!(v4(false, &["10.0.0.0/8"]), None);
        assert_eq!(v4(false, &["10.0.0.0/9", "10.128.0.0/9"]), None);
    }

    #[test]
    fn local_addresses_differ_by_seed_and_by_site() {
        let first = choose_v6("machine/a", &[]).unwrap();
        assert!(first.to_string().starts_with("fd"), "{first}");
        assert_eq!(first.prefix_len(), 64);
        assert_eq!(choose_v6("machine/a", &[]), Some(first));
        assert_ne!(choose_v6("machine/b", &[]), Some(first));
        let second = choose_v6("machine/a", &[first.into()]).unwrap();
        assert!(!overlaps(first.into(), second.into()));
        assert_eq!(second.addr().segments()[3], 1);
        assert_eq!(choose_v6("machine/a", &nets(&["fd00::/8"])), None);
    }

    #[test]
    fn gateways_are_hosts_of_their_subnet() {
        let mut subnet = Subnet::new("10.1.2.0/24".parse::<IpNet>().unwrap());
        assert_eq!(subnet.gateway().to_string(), "10.1.2.1");
        assert_eq!(subnet.check(), Ok(()));
        for bad in ["10.1.2.0", "10.1.2.255", "10.1.3.1", "fd00::1"] {
            subnet.gateway = Some(bad.parse().unwrap());
            assert!(subnet.check().is_err(), "{bad}");
        }
        subnet.gateway = None;
        for bad in ["10.1.3.0/25", "10.1.0.0/16", "10.1.2.1/25"] {
            subnet.range = Some(bad.parse().unwrap());
            assert!(subnet.check().is_err(), "{bad}");
        }
        for bad in ["10.1.2.1/24", "10.1.2.0/31", "fd00::/127"] {
            assert!(
                Subnet::new(bad.parse::<IpNet>().unwrap()).check().is_err(),
                "{bad}"
            );
        }
    }
}

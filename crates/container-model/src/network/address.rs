//! Addresses of containers: the one that is asked for, or the lowest that is free.
//!
//! Which are used is passed in: whoever keeps that holds a lock.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeSet;

use ipnet::IpNet;
use thiserror::Error;

use super::subnet::{Subnet, is_host};

/// Why a container gets no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It is no address that a container of the network may have.
    #[error("{address} is no address of {network} that a container may have")]
    NotInSubnet {
        /// What was asked for.
        address: IpAddr,
        /// The subnet.
        network: IpNet,
    },
    /// A container has it.
    #[error("{0} belongs to another container")]
    Taken(IpAddr),
    /// All are used.
    #[error("all addresses of {0} are used")]
    Exhausted(IpNet),
}

/// The address of a container in one subnet.
pub fn allocate(
    subnet: &Subnet,
    asked: Option<IpAddr>,
    used: &BTreeSet<IpAddr>,
) -> Result<IpAddr, AddressError> {
    let network = subnet.network;
    let is_possible = |address: IpAddr| is_host(network, address) && address != subnet.gateway();
    match asked {
        Some(address) if !is_possible(address) => {
            Err(AddressError::NotInSubnet { address, network })
        }
        Some(address) if used.contains(&address) => Err(AddressError::Taken(address)),
        Some(address) => Ok(address),
        None => {
            let range = subnet.range.unwrap_or(network);
            let mut free =
                addresses(range).filter(|address| is_possible(*address) && !used.contains(address));
            free.next().ok_or(AddressError::Exhausted(range))
        }
    }
}

/// All addresses of a subnet, its own and its last one too.
fn addresses(network: IpNet) -> Box<dyn Iterator<Item = IpAddr>> {
    match network {
        IpNet::V4(net) => {
            let bits = net.network().to_bits()..=net.broadcast().to_bits();
            Box::new(bits.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))))
        }
        IpNet::V6(net) => {
            let bits = net.network().to_bits()..=net.broadcast().to_bits();
            Box::new(bits.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::new(text.parse::<IpNet>().unwrap())
    }

    fn used(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lowest(subnet: &Subnet, taken: &[&str]) -> Result<String, AddressError> {
        allocate(subnet, None, &used(taken)).map(|address| address.to_string())
    }

    #[test]
    fn the_lowest_free_address_is_given() {
        let small = subnet("10.0.0.0/29");
        assert_eq!(lowest(&small, &[]).unwrap(), "10.0.0.2");
        assert_eq!(
            lowest(&small, &["10.0.0.2", "10.0.0.4"]).unwrap(),
            "10.0.0.3"
        );
        let all = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"];
        let error = AddressError::Exhausted(small.network);
        assert_eq!(
            lowest(&small, &all),
            Err(error),
            "the broadcast address is nobody's"
        );
        let wide = subnet("fd00:1::/64");
        assert_eq!(lowest(&wide, &["fd00:1::2"]).unwrap(), "fd00:1::3");
    }

    #[test]
    fn ranges_bound_what_is_chosen_and_not_what_is_asked_for() {
        let mut subnet = subnet("10.0.0.0/24");
        subnet.range = Some("10.0.0.128/30".parse().unwrap());
        assert_eq!(lowest(&subnet, &[]).unwrap(), "10.0.0.128");
        let all = ["10.0.0.128", "10.0.0.129", "10.0.0.130", "10.0.0.131"];
        assert!(matches!(
            lowest(&subnet, &all),
            Err(AddressError::Exhausted(_))
        ));
        let asked = |text: &str| allocate(&subnet, Some(text.parse().unwrap()), &used(&all));
        assert!(asked("10.0.0.9").is_ok());
        assert!(matches!(asked("10.0.0.128"), Err(AddressError::Taken(_))));
        for bad in ["10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.1.9", "fd00::9"] {
            assert!(
                matches!(asked(bad), Err(AddressError::NotInSubnet { .. })),
                "{bad}"
            );
        }
    }
}

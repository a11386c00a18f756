//! Networks that the machine has routes to, as the kernel lists them.
//!
//! Default routes are left out: they lead everywhere. Routes of tables other than the main one are not seen.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// All of them.
pub(crate) fn of_the_machine() -> Vec<IpNet> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let v4 = read("/proc/net/route");
    let v6 = read("/proc/net/ipv6_route");
    v4.lines()
        .filter_map(v4_line)
        .chain(v6.lines().filter_map(v6_line))
        .collect()
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers as they lie in memory.
fn v4_line(line: &str) -> Option<IpNet> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let address = |at: usize| {
        let bits = u32::from_str_radix(fields.get(at)?, 16).ok()?;
        Some(Ipv4Addr::from_bits(u32::from_be_bytes(bits.to_ne_bytes())))
    };
    let net = Ipv4Net::with_netmask(address(1)?, address(7)?).ok()?;
    (net.prefix_len() > 0).then_some(IpNet::V4(net.trunc()))
}

/// `destination length source length next-hop metric …`, in hexadecimal.
fn v6_line(line: &str) -> Option<IpNet> {
    let mut fields = line.split_whitespace();
    let bits = u128::from_str_radix(fields.next()?, 16).ok()?;
    let length = u8::from_str_radix(fields.next()?, 16).ok()?;
    let net = Ipv6Net::new(Ipv6Addr::from_bits(bits), length).ok()?;
    (length > 0).then_some(IpNet::V6(net.trunc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_are_read() {
        let header =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
        assert_eq!(v4_line(header), None);
        if cfg!(target_endian = "little") {
            let line = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0";
            assert_eq!(v4_line(line), "192.168.1.0/24".parse().ok());
        }
        let default = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        assert_eq!(v4_line(default), None);
        let line = "fd000000000000010000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0";
        assert_eq!(v6_line(line), "fd00:0:0:1::/64".parse().ok());
    }
}

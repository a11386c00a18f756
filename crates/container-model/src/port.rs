//! Published ports: `--publish [[ADDRESS:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]`.
//!
//! Binds none. Ranges must be of equal length on both sides.

use core::fmt;
use core::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::malformed::Malformed;

/// One port that is reachable from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// On which of the machine's addresses; on all of them if none.
    pub address: Option<IpAddr>,
    /// On the machine.
    pub host: HostPort,
    /// In the container.
    pub container: u16,
    /// Over what.
    pub protocol: Protocol,
}

/// A port of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPort {
    /// This one.
    Given(u16),
    /// One that is free.
    Any,
}

/// What a port is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads one `--publish`; a range gives several.
pub fn parse(text: &str) -> Result<Vec<PublishedPort>, Malformed> {
    read(text).map_err(|reason| Malformed::new("published port", text, reason))
}

fn read(text: &str) -> Result<Vec<PublishedPort>, String> {
    let (ports, protocol) = match text.split_once('/') {
        Some((ports, protocol)) => (ports, read_protocol(protocol)?),
        None => (text, Protocol::Tcp),
    };
    let (rest, container) = ports.rsplit_once(':').unwrap_or(("", ports));
    let container = range(container)?;
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) => (Some(read_address(address)?), host),
        None => (None, rest),
    };
    let hosts: Vec<HostPort> = if host.is_empty() {
        container.clone().map(|_| HostPort::Any).collect()
    } else {
        range(host)?.map(HostPort::Given).collect()
    };
    if hosts.len() != container.len() {
        return Err("the two ranges are not of equal length".to_owned());
    }
    let pairs = hosts.into_iter().zip(container);
    Ok(pairs
        .map(|(host, container)| PublishedPort {
            address,
            host,
            container,
            protocol,
        })
        .collect())
}

fn read_protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "sctp" => Ok(Protocol::Sctp),
        _ => Err(format!("the protocol `{text}` is not tcp, udp or sctp")),
    }
}

fn read_address(text: &str) -> Result<IpAddr, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .map_err(|_| format!("`{text}` is no IP address"))
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |text: &str| match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{text}` is no port from 1 to 65535")),
    };
    match text.split_once('-') {
        None => number(text).map(|one| one..=one),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range `{text}` runs backward"));
            }
            Ok(first..=last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(address: Option<&str>, host: HostPort, container: u16) -> PublishedPort {
        PublishedPort {
            address: address.map(|text| text.parse().unwrap()),
            host,
            container,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn ports_have_dockers_forms() {
        let given = HostPort::Given;
        assert_eq!(parse("80"), Ok(vec![port(None, HostPort::Any, 80)]));
        assert_eq!(parse("8080:80"), Ok(vec![port(None, given(8080), 80)]));
        assert_eq!(
            parse("127.0.0.1:8080:80"),
            Ok(vec![port(Some("127.0.0.1"), given(8080), 80)])
        );
        assert_eq!(
            parse("[::1]::80"),
            Ok(vec![port(Some("::1"), HostPort::Any, 80)])
        );
        assert_eq!(
            parse("1-2:3-4"),
            Ok(vec![port(None, given(1), 3), port(None, given(2), 4)])
        );
        assert_eq!(parse("53:53/udp").unwrap()[0].protocol, Protocol::Udp);
        for bad in [
            "", "0", "a", "80/x", "1-2:3", "2-1", "x:1:2", "65536", ":", "1:2:",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

//! `--add-host NAME:ADDRESS`, and the container's `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.
//!
//! Writes no file and resolves nothing. Which address `host-gateway` is depends on the container's network, and is
//! passed in.

use core::net::IpAddr;
use std::str::FromStr;

use crate::malformed::Malformed;

/// A name with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The name.
    pub name: String,
    /// Where it is.
    pub address: HostAddress,
}

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostAddress {
    /// At this address.
    Given(IpAddr),
    /// It is the machine, as the container reaches it: `host-gateway`.
    Gateway,
}

impl FromStr for HostEntry {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Malformed::new("host entry", text, reason);
        let split = text.split_once(['=', ':']);
        let (name, address) = split.ok_or_else(|| refuse("NAME:ADDRESS is wanted"))?;
        if !is_host_name(name) {
            return Err(refuse("the name is no host name"));
        }
        if address == "host-gateway" {
            return Ok(Self {
                name: name.to_owned(),
                address: HostAddress::Gateway,
            });
        }
        let bare = address
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(address);
        let address = bare
            .parse()
            .map_err(|_| refuse("there is no IP address after the name"))?;
        Ok(Self {
            name: name.to_owned(),
            address: HostAddress::Given(address),
        })
    }
}

/// Whether a text can be a host's name: labels of letters, digits, `-` and `_`, up to 253 bytes.
pub fn is_host_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// What of the container and its network stands in its `/etc/hosts`.
#[derive(Debug, Clone)]
pub struct OwnAddresses {
    /// Of the container in its networks; a loopback address stands for it if there is none.
    pub container: Vec<IpAddr>,
    /// The machine, as the container reaches it.
    pub gateway: Option<IpAddr>,
}

/// The container's `/etc/hosts`: the loopback addresses, itself, then what was added. An entry for a gateway that
/// there is not is left out.
pub fn hosts_file(host_name: &str, own: &OwnAddresses, entries: &[HostEntry]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
    let mut put = |address: &str, name: &str| text.extend([address, "\t", name, "\n"]);
    if own.container.is_empty() {
        put("127.0.1.1", host_name);
    }
    for address in &own.container {
        put(&address.to_string(), host_name);
    }
    for entry in entries {
        let address = match entry.address {
            HostAddress::Given(address) => Some(address),
            HostAddress::Gateway => own.gateway,
        };
        if let Some(address) = address {
            put(&address.to_string(), &entry.name);
        }
    }
    text
}

/// What of a machine's `/etc/resolv.conf` a container in a network of its own can use: servers that are no loopback
/// addresses, since those lead nowhere in it, and the domains.
pub fn usable_servers(text: &str) -> (Vec<IpAddr>, Vec<String>) {
    let (mut servers, mut domains) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                servers.extend(address.filter(|address| !address.is_loopback()));
            }
            // The last line counts. `.` is resolved's word for none.
            Some("search") => {
                domains = words
                    .filter(|word| *word != ".")
                    .map(ToOwned::to_owned)
                    .collect();
            }
            _ => {}
        }
    }
    (servers, domains)
}

/// The container's `/etc/resolv.conf`, if it has servers, domains or options of its own.
pub fn resolver_file(servers: &[IpAddr], domains: &[String], options: &[String]) -> Option<String> {
    if servers.is_empty() && domains.is_empty() && options.is_empty() {
        return None;
    }
    let servers = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"));
    let list = |key: &str, words: &[String]| {
        let line = format!("{key} {}\n", words.join(" "));
        (!words.is_empty()).then_some(line)
    };
    let lists = [list("search", domains), list("options", options)];
    Some(servers.chain(lists.into_iter().flatten()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_names_with_addresses() {
        let read = |text: &str| text.parse::<HostEntry>().map(|e| (e.name, e.address));
        let entry = |name: &str, address: &str| {
            Ok((
                name.to_owned(),
                HostAddress::Given(address.parse().unwrap()),
            ))
        };
        assert_eq!(read("db:10.0.0.1"), entry("db", "10.0.0.1"));
        assert_eq!(read("db=[::1]"), entry("db", "::1"));
        assert_eq!(read("db:fe80::1"), entry("db", "fe80::1"));
        assert_eq!(
            read("db:host-gateway"),
            Ok(("db".to_owned(), HostAddress::Gateway))
        );
        for bad in [
            "",
            "db",
            "db:",
            ":1.2.3.4",
            ":host-gateway",
            "d b:1.2.3.4",
            "db:x",
        ] {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad}");
        }
    }

    #[test]
    fn files_hold_what_was_asked_for() {
        let entries = ["db:10.0.0.1", "up:host-gateway"].map(|text| text.parse().unwrap());
        let none = OwnAddresses {
            container: Vec::new(),
            gateway: None,
        };
        let hosts = hosts_file("web", &none, &entries);
        assert!(hosts.ends_with("127.0.1.1\tweb\n10.0.0.1\tdb\n"), "{hosts}");
        let own = OwnAddresses {
            container: vec!["10.89.0.2".parse().unwrap()],
            gateway: Some("10.89.0.1".parse().unwrap()),
        };
        let hosts = hosts_file("web", &own, &entries);
        let expected = "10.89.0.2\tweb\n10.0.0.1\tdb\n10.89.0.1\tup\n";
        assert!(hosts.ends_with(expected), "{hosts}");
        assert_eq!(resolver_file(&[], &[], &[]), None);
        let servers = ["9.9.9.9".parse().unwrap()];
        let file = resolver_file(&servers, &["a".to_owned()], &["ndots:1".to_owned()]);
        let expected = "nameserver 9.9.9.9\nsearch a\noptions ndots:1\n";
        assert_eq!(file.as_deref(), Some(expected));
    }

    #[test]
    fn loopback_servers_are_of_no_use_in_a_container() {
        let text = "# a\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver ::1\nsearch a\nsearch b.c d\n";
        let servers = vec!["9.9.9.9".parse().unwrap()];
        let domains = vec!["b.c".to_owned(), "d".to_owned()];
        assert_eq!(usable_servers(text), (servers, domains));
        assert_eq!(
            usable_servers("options edns0\nsearch .\n"),
            (vec![], vec![])
        );
    }
}

//! `--add-host NAME:ADDRESS`, and the container's `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.
//!
//! Writes no file and resolves nothing. `host-gateway` is refused: which address that is depends on a
//! bridge that is not known here.

use core::net::IpAddr;
use std::str::FromStr;

use crate::malformed::Malformed;

/// A name with its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The name.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
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
            return Err(refuse("`host-gateway` is not supported: write the address"));
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
            address,
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

/// The container's `/etc/hosts`: itself at the loopback addresses, then what was added.
pub fn hosts_file(host_name: &str, entries: &[HostEntry]) -> String {
    let own = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{host_name}\n"
    );
    let line = |entry: &HostEntry| format!("{}\t{}\n", entry.address, entry.name);
    std::iter::once(own)
        .chain(entries.iter().map(line))
        .collect()
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
        let read = |text: &str| {
            text.parse::<HostEntry>()
                .map(|e| (e.name, e.address.to_string()))
        };
        let entry = |name: &str, address: &str| Ok((name.to_owned(), address.to_owned()));
        assert_eq!(read("db:10.0.0.1"), entry("db", "10.0.0.1"));
        assert_eq!(read("db=[::1]"), entry("db", "::1"));
        assert_eq!(read("db:fe80::1"), entry("db", "fe80::1"));
        for bad in [
            "",
            "db",
            "db:",
            ":1.2.3.4",
            "db:host-gateway",
            "d b:1.2.3.4",
            "db:x",
        ] {
            assert!(bad.parse::<HostEntry>().is_err(), "{bad}");
        }
    }

    #[test]
    fn files_hold_what_was_asked_for() {
        let entries = ["db:10.0.0.1".parse().unwrap()];
        let hosts = hosts_file("web", &entries);
        assert!(hosts.contains("127.0.1.1\tweb\n10.0.0.1\tdb\n"), "{hosts}");
        assert_eq!(resolver_file(&[], &[], &[]), None);
        let servers = ["9.9.9.9".parse().unwrap()];
        let file = resolver_file(&servers, &["a".to_owned()], &["ndots:1".to_owned()]);
        let expected = "nameserver 9.9.9.9\nsearch a\noptions ndots:1\n";
        assert_eq!(file.as_deref(), Some(expected));
    }
}

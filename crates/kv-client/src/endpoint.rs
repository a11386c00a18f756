//! The address of one server: scheme, host and port.
//!
//! Paths, user names and fragments in it are refused: they would be ignored.
use std::fmt;
use std::str::FromStr;

use crate::error::ConfigError;

/// Where one server listens, such as `http://127.0.0.1:2379`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    secure: bool,
    host: String,
    port: u16,
}

impl Endpoint {
    /// Whether TLS is spoken there.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as in a `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(out, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let bad = |reason| ConfigError::Endpoint {
            text: text.to_owned(),
            reason,
        };
        let (secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(bad("its scheme is neither http nor https")),
            None => (false, text),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(bad("only a host and a port may follow the scheme"));
        }
        let (host, port) = split_port(authority).ok_or(bad("its port is not a number"))?;
        if host.is_empty() || host.contains([' ', '"', '[', ']']) {
            return Err(bad("it has no valid host"));
        }
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: port.unwrap_or(if secure { 443 } else { 80 }),
        })
    }
}

/// Host and port of `host`, `host:1`, `[::1]`, `[::1]:1`; nothing if the port is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, after.strip_prefix(':'))
    } else if let Some((host, port)) = authority.rsplit_once(':') {
        (host, Some(port))
    } else {
        (authority, None)
    };
    match port {
        Some(port) => Some((host, Some(port.parse().ok()?))),
        None => Some((host, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for (text, shown) in [
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379"),
            ("http://a:1/", "http://a:1"),
            ("a:1", "http://a:1"),
            ("https://a", "https://a:443"),
            ("http://[::1]:5", "http://[::1]:5"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "unix:///a",
            "http://a:b",
            "http://a:1/v2",
            "http://u@a:1",
            "http://a:70000",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}

//! Where a server is.
//!
//! Written as fleetctl's `--endpoint`: `unix:///run/fleet.sock`, `http://HOST:PORT`, `https://HOST:PORT`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A host's name or address, and a port.
    Tcp {
        /// Without the brackets of an IPv6 address.
        host: String,
        /// 80 or 443 if none is said.
        port: u16,
        /// Whether by TLS.
        secure: bool,
    },
}

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not an endpoint: {reason}; write it like unix:///run/fleet.sock or http://10.0.0.1:49153"
)]
pub struct EndpointError {
    text: String,
    reason: &'static str,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = |reason| EndpointError {
            text: text.to_owned(),
            reason,
        };
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| error("it has no scheme"))?;
        match scheme {
            "unix" | "file" => unix(rest).ok_or_else(|| error("its path must begin with `/`")),
            "http" => tcp(rest, false).map_err(error),
            "https" => tcp(rest, true).map_err(error),
            _ => Err(error("its scheme is none of unix, file, http, https")),
        }
    }
}

fn unix(path: &str) -> Option<Endpoint> {
    let is_path = path.starts_with('/') && path.len() > 1;
    is_path.then(|| Endpoint::Unix(path.into()))
}

fn tcp(rest: &str, secure: bool) -> Result<Endpoint, &'static str> {
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#', '@', ' ']) {
        return Err("there may be nothing but a host and a port");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => {
            let (host, after) = address.split_once(']').ok_or("a `]` is missing")?;
            let port = match after.strip_prefix(':') {
                None if after.is_empty() => None,
                None => return Err("after `]` comes `:` and a port"),
                Some(port) => Some(port),
            };
            (host, port)
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    let port = match port {
        None if secure => 443,
        None => 80,
        Some(port) => port.parse().map_err(|_| "its port is no number")?,
    };
    Ok(Endpoint::Tcp {
        host: host.to_owned(),
        port,
        secure,
    })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, secure } => {
                let scheme = if *secure { "https" } else { "http" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fleet_took_is_read() {
        for (text, shown) in [
            ("unix:///var/run/fleet.sock", "unix:///var/run/fleet.sock"),
            ("/var/run/fleet.sock", "unix:///var/run/fleet.sock"),
            ("file:///a", "unix:///a"),
            ("http://127.0.0.1:49153", "http://127.0.0.1:49153"),
            ("http://host/", "http://host:80"),
            ("https://host", "https://host:443"),
            ("https://[::1]:1", "https://[::1]:1"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "host:80",
            "ftp://host",
            "unix://relative",
            "unix:///",
            "http://",
            "http://host:port",
            "http://host/path",
            "http://user@host",
            "http://[::1",
            "http://[::1]1",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}

//! URLs to listen on and to connect to: `http`, `https`, `unix` and `unixs`, each with where and
//! nothing behind it.
//!
//! Names are resolved elsewhere.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A host, as a name or an address without brackets, and a port.
    Tcp { host: String, port: u16 },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A URL of a member: where, and whether TLS is spoken there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    pub(crate) tls: bool,
    pub(crate) place: Place,
}

/// Why a text is no URL of a member; says what is expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EndpointError {
    /// Another scheme, or none.
    #[error("{0:?} begins with none of http://, https://, unix:// and unixs://")]
    Scheme(String),
    /// No port; guessing one would be wrong half of the time.
    #[error("{0:?} names no port")]
    Port(String),
    /// No host, or no socket.
    #[error("{0:?} names no host")]
    Host(String),
    /// Something behind the port.
    #[error("{0:?} has a path, but a member's URL ends with its port")]
    Path(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let owned = || text.to_owned();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| EndpointError::Scheme(owned()))?;
        let tls = match scheme {
            "http" | "unix" => false,
            "https" | "unixs" => true,
            _ => return Err(EndpointError::Scheme(owned())),
        };
        if scheme.starts_with("unix") {
            if rest.is_empty() {
                return Err(EndpointError::Host(owned()));
            }
            let place = Place::Unix(PathBuf::from(rest));
            return Ok(Self { tls, place });
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(EndpointError::Path(owned()));
        }
        let (host, port) = rest
            .rsplit_once(':')
            .filter(|(host, _)| !host.ends_with(':') || host.ends_with(']'))
            .ok_or_else(|| EndpointError::Port(owned()))?;
        let port = port.parse().map_err(|_| EndpointError::Port(owned()))?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host).to_owned();
        if host.is_empty() || host.contains('@') || (bare.is_none() && host.contains(':')) {
            return Err(EndpointError::Host(owned()));
        }
        let place = Place::Tcp { host, port };
        Ok(Self { tls, place })
    }
}

impl Endpoint {
    /// Whether it is every address of the machine, which nobody can connect to.
    pub(crate) fn is_wildcard(&self) -> bool {
        match &self.place {
            Place::Tcp { host, .. } => ["0.0.0.0", "::"].contains(&host.as_str()),
            Place::Unix(_) => false,
        }
    }

    /// Host and port, as the `Host` header has them.
    pub(crate) fn authority(&self) -> String {
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { "s" } else { "" };
        match &self.place {
            Place::Tcp { .. } => write!(f, "http{tls}://{}", self.authority()),
            Place::Unix(path) => write!(f, "unix{tls}://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_back_as_they_were() {
        for text in [
            "http://127.0.0.1:2379",
            "https://kv.example.com:1",
            "http://[::1]:2379",
            "unix:///run/kvd.sock",
            "unixs://kvd.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let slash: Endpoint = "http://a:1/".parse().unwrap();
        assert_eq!(slash.to_string(), "http://a:1");
        assert!("http://[::]:1".parse::<Endpoint>().unwrap().is_wildcard());
        assert!(!slash.is_wildcard());
    }

    #[test]
    fn what_is_no_url_of_a_member_is_refused() {
        use EndpointError::{Host, Path, Port, Scheme};
        type Make = fn(String) -> EndpointError;
        let cases: [(&str, Make); 10] = [
            ("127.0.0.1:2379", Scheme),
            ("ftp://a:1", Scheme),
            ("http://a", Port),
            ("http://a:", Port),
            ("http://a:70000", Port),
            ("http://::1", Port),
            ("http://:2379", Host),
            ("http://u@a:1", Host),
            ("unix://", Host),
            ("http://a:1/v2", Path),
        ];
        for (text, expected) in cases {
            let found = text.parse::<Endpoint>();
            assert_eq!(found, Err(expected(text.to_owned())), "{text}");
        }
    }
}

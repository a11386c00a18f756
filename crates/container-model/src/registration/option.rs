//! `--register name=web[,port=80[/udp]][,tag=…]…`: a service that is asked for by name.
//!
//! Whether there is such a port is not known here.

use std::fmt;
use std::str::FromStr;

use crate::malformed::Malformed;
use crate::port::Protocol;

/// One `--register`, `keelson.register` label or `Register=` of a Quadlet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterOption {
    /// The service's.
    pub name: String,
    /// Which port of the container; all that are published if none.
    pub port: Option<(u16, Protocol)>,
    /// In the order in which they were given.
    pub tags: Vec<String>,
}

/// Whether a text can be a service's name: it is part of keys and of DNS names.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 128 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "the name `{name}` is not made of letters, digits, `-` and `_`, with dots between such words"
    ))
}

/// A port, and over what.
pub(super) fn parse_port(text: &str) -> Result<(u16, Protocol), String> {
    let (number, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), Protocol::Tcp),
        Some((number, "udp")) => (number, Protocol::Udp),
        Some((number, "sctp")) => (number, Protocol::Sctp),
        Some((_, other)) => return Err(format!("the protocol `{other}` is not tcp, udp or sctp")),
    };
    match number.parse::<u16>() {
        Ok(port) if port > 0 => Ok((port, protocol)),
        _ => Err(format!("`{number}` is no port from 1 to 65535")),
    }
}

fn read(text: &str) -> Result<RegisterOption, String> {
    let (mut name, mut port, mut tags) = (None, None, Vec::new());
    for part in text.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("`{part}` is not KEY=VALUE"))?;
        match key {
            "name" if name.is_none() => {
                check_name(value)?;
                name = Some(value.to_owned());
            }
            "port" if port.is_none() => port = Some(parse_port(value)?),
            "tag" if !value.is_empty() => tags.push(value.to_owned()),
            "tag" => return Err("a tag is empty".to_owned()),
            "name" | "port" => return Err(format!("`{key}` is given twice")),
            _ => return Err(format!("there is no `{key}`: name, port and tag are known")),
        }
    }
    Ok(RegisterOption {
        name: name.ok_or("name=… is missing")?,
        port,
        tags,
    })
}

impl FromStr for RegisterOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        read(text).map_err(|reason| Malformed::new("registration", text, reason))
    }
}

impl fmt::Display for RegisterOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name={}", self.name)?;
        if let Some((port, protocol)) = self.port {
            write!(f, ",port={port}/{protocol}")?;
        }
        self.tags.iter().try_for_each(|tag| write!(f, ",tag={tag}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_written() {
        let cases = [
            ("name=web", "name=web"),
            ("port=80,name=web", "name=web,port=80/tcp"),
            (
                "name=a.b-c_d,port=53/udp,tag=x,tag=y=z",
                "name=a.b-c_d,port=53/udp,tag=x,tag=y=z",
            ),
            ("name=w,port=9/sctp", "name=w,port=9/sctp"),
            ("name=w,port=9/tcp", "name=w,port=9/tcp"),
        ];
        for (text, expected) in cases {
            let option: RegisterOption = text.parse().unwrap();
            assert_eq!(option.to_string(), expected);
            assert_eq!(expected.parse(), Ok(option));
        }
    }

    #[test]
    fn mistakes_are_told() {
        let long = format!("name={}", "a".repeat(64));
        let cases = [
            ("", "is not KEY=VALUE"),
            ("web", "is not KEY=VALUE"),
            ("port=80", "name=… is missing"),
            ("name=", "the name ``"),
            ("name=a/b", "the name `a/b`"),
            ("name=a..b", "the name `a..b`"),
            ("name=-a", "the name `-a`"),
            (long.as_str(), "the name `aaa"),
            ("name=a,name=b", "given twice"),
            ("name=a,port=1,port=2", "given twice"),
            ("name=a,port=0", "is no port"),
            ("name=a,port=80/http", "the protocol `http`"),
            ("name=a,port=", "is no port"),
            ("name=a,tag=", "a tag is empty"),
            ("name=a,colour=b", "there is no `colour`"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<RegisterOption>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

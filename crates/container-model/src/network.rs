//! Which network a container is in.
//!
//! Makes none. `container:NAME` is refused: two units that share one network need a third that holds it.

use std::str::FromStr;

use crate::malformed::Malformed;
use crate::name::Name;

/// `--network`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The machine's own.
    Host,
    /// A loopback interface and nothing else.
    None,
    /// The default bridge, behind the machine's address.
    Bridge,
    /// A network that somebody made.
    Named(Name),
}

impl FromStr for Network {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            "bridge" | "default" => Ok(Self::Bridge),
            _ if text.starts_with("container:") || text.starts_with("ns:") => {
                let reason =
                    "another's network is not supported: `host`, `none`, `bridge` and names are";
                Err(Malformed::new("network", text, reason))
            }
            _ => Ok(Self::Named(text.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_words_or_names() {
        assert_eq!("host".parse(), Ok(Network::Host));
        assert_eq!("none".parse(), Ok(Network::None));
        assert_eq!("default".parse(), Ok(Network::Bridge));
        assert_eq!("a".parse(), Ok(Network::Named("a".parse().unwrap())));
        for bad in ["", "container:a", "ns:/a", "a b"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}

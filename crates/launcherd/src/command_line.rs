//! The command line: dockerd's `-H`, as far as it makes sense here.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

/// Serves the Docker Engine API over containers that are systemd units.
#[derive(Debug, Parser)]
#[command(name = "launcherd", version)]
pub(crate) struct Cli {
    /// Where to listen
    #[arg(
        short = 'H',
        long,
        value_name = "ADDRESS",
        default_value = "fd://",
        help = "Where to listen: fd:// for all sockets that systemd passed, fd://N for descriptor N alone, unix://PATH"
    )]
    pub(crate) host: Vec<Host>,
    /// Log more
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// Every socket that was passed.
    AllPassed,
    /// One of them, by its descriptor's number.
    Passed(i32),
    /// A path of one's own.
    Path(PathBuf),
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = text.strip_prefix("fd://") {
            return match number {
                "" | "*" => Ok(Self::AllPassed),
                _ => match number.parse() {
                    Ok(number) if number >= 3 => Ok(Self::Passed(number)),
                    _ => {
                        Err("the first descriptor that systemd passes has the number 3".to_owned())
                    }
                },
            };
        }
        match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(Self::Path(path.into())),
            Some(_) => Err("an absolute path is wanted".to_owned()),
            // Whoever may talk to it is root on this machine.
            None => Err(
                "fd:// and unix:// are supported; from elsewhere: DOCKER_HOST=ssh://".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_dockers() {
        assert_eq!("fd://".parse(), Ok(Host::AllPassed));
        assert_eq!("fd://4".parse(), Ok(Host::Passed(4)));
        assert_eq!("unix:///a".parse(), Ok(Host::Path("/a".into())));
        for bad in ["fd://2", "fd://x", "unix://a", "tcp://0.0.0.0:2375", ""] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}

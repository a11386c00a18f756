//! `--ulimit NAME=SOFT[:HARD]`.
//!
//! Sets none. A bare name, Docker's "as the daemon has it", is refused.

use std::str::FromStr;

use oci_spec::runtime::PosixRlimitType;

use crate::malformed::Malformed;

/// A limit of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// Of what.
    pub kind: PosixRlimitType,
    /// What holds.
    pub soft: u64,
    /// How far a process may raise it.
    pub hard: u64,
}

const KINDS: &[(&str, PosixRlimitType)] = &[
    ("core", PosixRlimitType::RlimitCore),
    ("cpu", PosixRlimitType::RlimitCpu),
    ("data", PosixRlimitType::RlimitData),
    ("fsize", PosixRlimitType::RlimitFsize),
    ("locks", PosixRlimitType::RlimitLocks),
    ("memlock", PosixRlimitType::RlimitMemlock),
    ("msgqueue", PosixRlimitType::RlimitMsgqueue),
    ("nice", PosixRlimitType::RlimitNice),
    ("nofile", PosixRlimitType::RlimitNofile),
    ("nproc", PosixRlimitType::RlimitNproc),
    ("rss", PosixRlimitType::RlimitRss),
    ("rtprio", PosixRlimitType::RlimitRtprio),
    ("rttime", PosixRlimitType::RlimitRttime),
    ("sigpending", PosixRlimitType::RlimitSigpending),
    ("stack", PosixRlimitType::RlimitStack),
];

impl FromStr for Ulimit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Malformed::new("ulimit", text, reason);
        let split = text.split_once('=');
        let (name, values) =
            split.ok_or_else(|| refuse("NAME=SOFT or NAME=SOFT:HARD is wanted"))?;
        let kind = KINDS.iter().find(|(known, _)| *known == name);
        let (_, kind) = kind.ok_or_else(|| refuse("there is no limit of that name"))?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let read = |text: &str| match text {
            "-1" | "unlimited" => Some(u64::MAX),
            _ => text.parse().ok(),
        };
        let (Some(soft), Some(hard)) = (read(soft), read(hard)) else {
            return Err(refuse("a limit is a number, or -1 for none"));
        };
        if soft > hard {
            return Err(refuse("the soft limit is above the hard one"));
        }
        Ok(Self {
            kind: *kind,
            soft,
            hard,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_soft_and_hard() {
        let read = |text: &str| text.parse::<Ulimit>().map(|limit| (limit.soft, limit.hard));
        assert_eq!(read("nofile=1024:2048"), Ok((1024, 2048)));
        assert_eq!(read("core=0"), Ok((0, 0)));
        assert_eq!(read("memlock=-1"), Ok((u64::MAX, u64::MAX)));
        for bad in ["", "nofile", "what=1", "nofile=a", "nofile=2:1"] {
            assert!(bad.parse::<Ulimit>().is_err(), "{bad}");
        }
    }
}

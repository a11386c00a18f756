//! `--sysctl NAME=VALUE`: kernel settings that belong to a container's namespaces.
//!
//! Others are refused: they would change the machine.

use std::str::FromStr;

use crate::malformed::Malformed;
use crate::network::Network;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// With dots.
    pub name: String,
    /// As the kernel reads it.
    pub value: String,
}

/// Of the container's IPC namespace.
const IPC: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

impl FromStr for Sysctl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Malformed::new("kernel setting", text, reason);
        let split = text.split_once('=');
        let (name, value) = split.ok_or_else(|| refuse("NAME=VALUE is wanted"))?;
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if !name.bytes().all(is_inner) || name.split('.').any(str::is_empty) {
            return Err(refuse(
                "the name has parts of letters, digits, `_` and `-`, with dots between",
            ));
        }
        let is_own =
            IPC.contains(&name) || name.starts_with("fs.mqueue.") || name.starts_with("net.");
        if !is_own {
            return Err(refuse(
                "it belongs to the machine, not to a container; net.*, fs.mqueue.* and those of System V IPC can be set",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl Sysctl {
    /// Whether it may be set in a network.
    pub fn check(&self, network: &Network) -> Result<(), Malformed> {
        if self.name.starts_with("net.") && *network == Network::Host {
            let reason = "with the machine's own network it would change the machine";
            return Err(Malformed::new("kernel setting", &self.name, reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_own_are_set() {
        let sysctl: Sysctl = "net.core.somaxconn=1024".parse().unwrap();
        assert_eq!(
            (sysctl.name.as_str(), sysctl.value.as_str()),
            ("net.core.somaxconn", "1024")
        );
        assert_eq!(sysctl.check(&Network::None), Ok(()));
        assert!(sysctl.check(&Network::Host).is_err());
        assert!("kernel.shmmax=1".parse::<Sysctl>().is_ok());
        for bad in [
            "",
            "net.a",
            "kernel.pid_max=1",
            "vm.swappiness=1",
            "net..a=1",
            "net./a=1",
        ] {
            assert!(bad.parse::<Sysctl>().is_err(), "{bad}");
        }
    }
}

//! `--security-opt`: what a container's processes are kept from.
//!
//! AppArmor and SELinux are not in the image: asking for a profile or label is refused, and asking for none
//! is what holds anyway. `no-new-privileges` is on unless it is switched off.

use std::str::FromStr;

use crate::malformed::Malformed;
use crate::mount::absolute;

/// One `--security-opt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityOption {
    /// Whether programs with set-user-id bits or file capabilities gain nothing by them.
    NoNewPrivileges(bool),
    /// Which system calls are allowed.
    Seccomp(SeccompOption),
    /// Whether `/proc` and `/sys` are as open as on the machine.
    SystemPaths(SystemPaths),
    /// What holds anyway: neither AppArmor nor SELinux confines it.
    NoLabel,
}

/// `seccomp=…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeccompOption {
    /// The machine's default profile.
    Default,
    /// All calls.
    Unconfined,
    /// A profile in Docker's format, by its absolute path.
    Profile(String),
}

/// `systempaths=…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemPaths {
    /// Some are hidden, some read-only.
    Masked,
    /// All are as they are.
    Unconfined,
}

/// All of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// See [`SecurityOption::NoNewPrivileges`].
    pub no_new_privileges: bool,
    /// See [`SecurityOption::Seccomp`].
    pub seccomp: SeccompOption,
    /// See [`SecurityOption::SystemPaths`].
    pub system_paths: SystemPaths,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            no_new_privileges: true,
            seccomp: SeccompOption::Default,
            system_paths: SystemPaths::Masked,
        }
    }
}

impl Security {
    /// The last of a kind counts.
    pub fn apply(&mut self, option: SecurityOption) {
        match option {
            SecurityOption::NoNewPrivileges(on) => self.no_new_privileges = on,
            SecurityOption::Seccomp(seccomp) => self.seccomp = seccomp,
            SecurityOption::SystemPaths(paths) => self.system_paths = paths,
            SecurityOption::NoLabel => {}
        }
    }
}

impl FromStr for SecurityOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Err(Malformed::new("security option", text, reason));
        let split = text.split_once('=').or_else(|| text.split_once(':'));
        let (key, value) = split.unwrap_or((text, "true"));
        match (key, value) {
            ("no-new-privileges", "true") => Ok(Self::NoNewPrivileges(true)),
            ("no-new-privileges", "false") => Ok(Self::NoNewPrivileges(false)),
            ("seccomp", "builtin") => Ok(Self::Seccomp(SeccompOption::Default)),
            ("seccomp", "unconfined") => Ok(Self::Seccomp(SeccompOption::Unconfined)),
            ("seccomp", path) => match absolute(path) {
                Ok(path) => Ok(Self::Seccomp(SeccompOption::Profile(path))),
                Err(reason) => refuse(&reason),
            },
            ("systempaths", "unconfined") => Ok(Self::SystemPaths(SystemPaths::Unconfined)),
            ("label", "disable") | ("apparmor", "unconfined") => Ok(Self::NoLabel),
            ("label", _) => refuse("SELinux is not in the image"),
            ("apparmor", _) => refuse("AppArmor profiles are not supported"),
            _ => refuse(
                "no-new-privileges, seccomp=, systempaths=unconfined, label=disable and apparmor=unconfined are supported",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_add_up() {
        let mut security = Security::default();
        assert!(security.no_new_privileges);
        let options = [
            "no-new-privileges=false",
            "seccomp=/etc/a.json",
            "seccomp=unconfined",
            "label=disable",
        ];
        for option in options {
            security.apply(option.parse().unwrap());
        }
        assert!(!security.no_new_privileges);
        assert_eq!(security.seccomp, SeccompOption::Unconfined);
        assert_eq!(
            "no-new-privileges".parse(),
            Ok(SecurityOption::NoNewPrivileges(true))
        );
        for bad in [
            "",
            "seccomp=a.json",
            "apparmor=docker-default",
            "label=type:a",
            "no-new-privileges=x",
            "what",
        ] {
            assert!(bad.parse::<SecurityOption>().is_err(), "{bad}");
        }
    }
}

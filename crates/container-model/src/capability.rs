//! Capabilities: Docker's default set, and what `--cap-add` and `--cap-drop` make of it.
//!
//! Does not know which ones the running kernel has; the runtime drops those that it does not.

use std::collections::HashSet;
use std::str::FromStr;

use oci_spec::runtime::Capability;

use crate::malformed::Malformed;

/// What a container's root may do without asking for more: Docker's fourteen.
pub const DEFAULT: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Every one, for `ALL` and for privileged containers, in the order of the numbers that the kernel gives them
/// (`capability.h`).
const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// One capability, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapabilityOption {
    /// `ALL`.
    All,
    /// Such as `NET_ADMIN`.
    One(Capability),
}

impl FromStr for CapabilityOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let upper = text.to_ascii_uppercase();
        if upper == "ALL" {
            return Ok(Self::All);
        }
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let found = ALL.iter().find(|one| self::name(**one)[4..] == *name);
        found
            .map(|one| Self::One(*one))
            .ok_or_else(|| Malformed::new("capability", text, "Linux has none of that name"))
    }
}

/// As the kernel's documentation has it: `CAP_NET_ADMIN`.
pub fn name(capability: Capability) -> String {
    format!("CAP_{capability}")
}

/// All of them.
pub fn all() -> HashSet<Capability> {
    ALL.into()
}

/// Those of a mask as the kernel writes it, in hexadecimal digits, in `/proc/PID/status`; none if it is no mask.
pub fn of_mask(digits: &str) -> Option<HashSet<Capability>> {
    let mask = u64::from_str_radix(digits.trim(), 16).ok()?;
    let is_in = |(number, _): &(usize, Capability)| mask >> number & 1 == 1;
    let held = ALL.into_iter().enumerate().filter(is_in);
    Some(held.map(|(_, one)| one).collect())
}

/// Docker's rule: `ALL` first, then the single ones; what is added and dropped by name is dropped.
pub fn effective(added: &[CapabilityOption], dropped: &[CapabilityOption]) -> HashSet<Capability> {
    let mut set: HashSet<Capability> = if added.contains(&CapabilityOption::All) {
        all()
    } else if dropped.contains(&CapabilityOption::All) {
        HashSet::new()
    } else {
        DEFAULT.into()
    };
    let singles = |options: &[CapabilityOption]| -> Vec<Capability> {
        let one = |option: &CapabilityOption| match option {
            CapabilityOption::All => None,
            CapabilityOption::One(one) => Some(*one),
        };
        options.iter().filter_map(one).collect()
    };
    set.extend(singles(added));
    for one in singles(dropped) {
        set.remove(&one);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(texts: &[&str]) -> Vec<CapabilityOption> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn masks_are_the_kernels() {
        assert_eq!(of_mask("000001ffffffffff\n"), Some(all()));
        let lacking = of_mask("000001fffeffffff").unwrap();
        assert_eq!(lacking.len(), 40);
        assert!(!lacking.contains(&Capability::SysResource));
        assert_eq!(of_mask("00000000a80425fb"), Some(DEFAULT.into()));
        assert_eq!(of_mask("x"), None);
    }

    #[test]
    fn names_have_a_prefix_or_not() {
        let admin = CapabilityOption::One(Capability::NetAdmin);
        for text in ["NET_ADMIN", "cap_net_admin", "CAP_NET_ADMIN"] {
            assert_eq!(text.parse(), Ok(admin), "{text}");
        }
        assert_eq!(name(Capability::NetAdmin), "CAP_NET_ADMIN");
        assert!("NET_WHAT".parse::<CapabilityOption>().is_err());
        assert_eq!(all().len(), 41, "each once");
    }

    #[test]
    fn sets_add_up_as_dockers_do() {
        let set = |added: &[&str], dropped: &[&str]| effective(&options(added), &options(dropped));
        assert_eq!(set(&[], &[]).len(), 14);
        assert_eq!(set(&["NET_ADMIN"], &["ALL"]), [Capability::NetAdmin].into());
        assert_eq!(set(&["ALL"], &["SYS_ADMIN"]).len(), 40);
        assert_eq!(set(&["ALL"], &["ALL"]).len(), 41);
        assert!(!set(&[], &["CHOWN"]).contains(&Capability::Chown));
    }
}

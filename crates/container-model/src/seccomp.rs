//! A seccomp profile in Docker's format, and what a runtime gets of it.
//!
//! A profile's rules may be for some architectures, capabilities and kernels only. Those that hold here are
//! kept, which needs the machine's values. The profile itself is passed in: it is the machine's file.

use std::collections::HashSet;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSyscall, LinuxSyscallBuilder,
};
use serde::Deserialize;
use thiserror::Error;

use crate::capability;

/// What a profile's conditions are held against.
#[derive(Debug, Clone)]
pub struct Conditions<'a> {
    /// What the container is allowed.
    pub capabilities: &'a HashSet<Capability>,
    /// As Go names it, such as `amd64`.
    pub architecture: &'a str,
    /// The kernel's version.
    pub kernel: KernelVersion,
}

/// The two numbers that profiles compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

/// Why a profile cannot be used.
#[derive(Debug, Error)]
pub enum SeccompError {
    /// Not in the format.
    #[error("the seccomp profile is not in Docker's format: {0}")]
    Format(#[from] serde_json::Error),
    /// Nothing for this machine.
    #[error("the seccomp profile has nothing for the architecture `{0}`")]
    Architecture(String),
    /// A version that is none.
    #[error("`{0}` is no kernel version")]
    Kernel(String),
    /// The values do not make a profile.
    #[error("the seccomp profile is incomplete: {0}")]
    Incomplete(#[from] OciSpecError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    arch_map: Vec<Architecture>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: oci_spec::runtime::LinuxSeccompOperator,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

impl KernelVersion {
    /// Of a release such as `6.12.48+deb13-cloud-amd64`.
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(str::parse::<u32>);
        Some(Self {
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
        })
    }
}

/// What of a profile holds.
pub fn resolve(profile: &str, conditions: &Conditions<'_>) -> Result<LinuxSeccomp, SeccompError> {
    let profile: Profile = serde_json::from_str(profile)?;
    let mut syscalls = Vec::new();
    for rule in profile.syscalls {
        if rule.holds(conditions)? {
            syscalls.push(rule.into_syscall()?);
        }
    }
    let mut seccomp = LinuxSeccompBuilder::default()
        .default_action(profile.default_action)
        .architectures(architectures(&profile.arch_map, conditions.architecture)?)
        .syscalls(syscalls)
        .build()?;
    seccomp.set_default_errno_ret(profile.default_errno_ret);
    Ok(seccomp)
}

fn architectures(map: &[Architecture], name: &str) -> Result<Vec<Arch>, SeccompError> {
    let native = match name {
        "amd64" => Arch::ScmpArchX86_64,
        "arm64" => Arch::ScmpArchAarch64,
        _ => return Err(SeccompError::Architecture(name.to_owned())),
    };
    let entry = map.iter().find(|entry| entry.architecture == native);
    let entry = entry.ok_or_else(|| SeccompError::Architecture(name.to_owned()))?;
    let others = entry.sub_architectures.iter().flatten().copied();
    Ok(std::iter::once(native).chain(others).collect())
}

impl Rule {
    fn holds(&self, conditions: &Conditions<'_>) -> Result<bool, SeccompError> {
        let has = |name: &String| {
            let held = conditions.capabilities.iter();
            held.into_iter().any(|one| capability::name(*one) == *name)
        };
        let is_here = |name: &String| name == conditions.architecture;
        let (includes, excludes) = (&self.includes, &self.excludes);
        let is_new_enough = match &includes.min_kernel {
            None => true,
            Some(text) => {
                let version = KernelVersion::parse(text);
                conditions.kernel >= version.ok_or_else(|| SeccompError::Kernel(text.clone()))?
            }
        };
        Ok(is_new_enough
            && (includes.arches.is_empty() || includes.arches.iter().any(is_here))
            && includes.caps.iter().all(has)
            && !excludes.arches.iter().any(is_here)
            && !excludes.caps.iter().any(has))
    }

    fn into_syscall(self) -> Result<LinuxSyscall, SeccompError> {
        let mut syscall = LinuxSyscallBuilder::default()
            .names(self.names)
            .action(self.action)
            .build()?;
        syscall.set_errno_ret(self.errno_ret);
        let arguments = self.args.unwrap_or_default();
        let arguments: Result<Vec<_>, _> = arguments.into_iter().map(Argument::into_spec).collect();
        syscall.set_args(Some(arguments?).filter(|list| !list.is_empty()));
        Ok(syscall)
    }
}

impl Argument {
    fn into_spec(self) -> Result<LinuxSeccompArg, OciSpecError> {
        LinuxSeccompArgBuilder::default()
            .index(self.index)
            .value(self.value)
            .value_two(self.value_two)
            .op(self.op)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["later"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
            {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
            {"names": ["elsewhere"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 40, "valueTwo": 0, "op": "SCMP_CMP_NE"}]}
        ]
    }"#;

    fn names(capabilities: &HashSet<Capability>) -> Vec<String> {
        let conditions = Conditions {
            capabilities,
            architecture: "amd64",
            kernel: KernelVersion::parse("6.12.48+deb13-cloud-amd64").unwrap(),
        };
        let seccomp = resolve(PROFILE, &conditions).unwrap();
        assert_eq!(seccomp.default_errno_ret(), Some(38));
        let architectures = [Arch::ScmpArchX86_64, Arch::ScmpArchX86];
        assert_eq!(seccomp.architectures().as_deref(), Some(&architectures[..]));
        let syscalls = seccomp.syscalls().iter().flatten();
        syscalls.flat_map(|call| call.names().clone()).collect()
    }

    #[test]
    fn what_holds_here_is_kept() {
        let plain = ["read", "unshare", "ptrace", "arch_prctl", "socket"];
        assert_eq!(names(&capability::DEFAULT.into()), plain);
        let all = ["read", "mount", "ptrace", "arch_prctl", "socket"];
        assert_eq!(names(&capability::all()), all);
    }

    #[test]
    fn what_is_no_profile_is_an_error() {
        let capabilities = HashSet::new();
        let conditions = |architecture| Conditions {
            capabilities: &capabilities,
            architecture,
            kernel: KernelVersion { major: 6, minor: 1 },
        };
        assert!(matches!(
            resolve("{}", &conditions("amd64")),
            Err(SeccompError::Format(_))
        ));
        let error = resolve(PROFILE, &conditions("arm64")).unwrap_err();
        assert!(matches!(error, SeccompError::Architecture(_)), "{error}");
        assert_eq!(KernelVersion::parse("six"), None);
    }
}

//! The keys of `[Container]`: which option of `launch run` each becomes, or why it is refused.
//!
//! Keys that need more than an option stand here as [`Handling::Special`]; `container` knows them.

use std::str::FromStr;

use systemd_unit::time_span::{self, TimeSpan};

use crate::capability::CapabilityOption;
use crate::command::parse_entrypoint;
use crate::device::DeviceOption;
use crate::environment::Variable;
use crate::health::{HealthAction, HealthCommand, HealthTime};
use crate::host_entry::HostEntry;
use crate::malformed::Malformed;
use crate::mount;
use crate::name::Name;
use crate::options::{HostName, Label};
use crate::port;
use crate::registration::RegisterOption;
use crate::resources::{MemorySize, PidsLimit};
use crate::secret::SecretOption;
use crate::signal::Signal;
use crate::sysctl::Sysctl;
use crate::ulimit::Ulimit;
use crate::user_namespace::UserNamespace;

/// Whether a value will be understood when it runs.
pub(super) type Check = fn(&str) -> Result<(), Malformed>;

/// What becomes of a key.
pub(super) enum Handling {
    /// One value: the last counts.
    One(&'static str, Check),
    /// Each value is an option.
    Each(&'static str, Check),
    /// Each word of each value is an option.
    Words(&'static str, Check),
    /// A boolean; true is the option.
    Flag(&'static str),
    /// `container` does it.
    Special,
    /// It is not supported, for this reason.
    Refused(&'static str),
}

use Handling::{Each, Flag, One, Refused, Special, Words};

pub(super) fn is<T: FromStr<Err = Malformed>>(text: &str) -> Result<(), Malformed> {
    text.parse::<T>().map(|_| ())
}

pub(super) fn is_mount(text: &str) -> Result<(), Malformed> {
    mount::parse_mount(text).map(|_| ())
}

fn is_tmpfs(text: &str) -> Result<(), Malformed> {
    mount::parse_tmpfs(text).map(|_| ())
}

fn is_entrypoint(text: &str) -> Result<(), Malformed> {
    parse_entrypoint(text).map(|_| ())
}

pub(super) fn is_address(text: &str) -> Result<(), Malformed> {
    match text.parse::<core::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Malformed::new("IP address", text, "write it in numbers")),
    }
}

fn is_seconds(text: &str) -> Result<(), Malformed> {
    match text.parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Malformed::new("time", text, "write whole seconds")),
    }
}

pub(super) fn is_count(text: &str) -> Result<(), Malformed> {
    match text.parse::<u32>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Malformed::new("number", text, "a whole number is wanted")),
    }
}

pub(super) fn is_absolute(text: &str) -> Result<(), Malformed> {
    mount::absolute(text)
        .map(|_| ())
        .map_err(|reason| Malformed::new("path", text, reason))
}

pub(super) fn is_word(text: &str) -> Result<(), Malformed> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(Malformed::new(
            "word",
            text,
            "one word without white space is wanted",
        ));
    }
    Ok(())
}

pub(super) fn is_ports(text: &str) -> Result<(), Malformed> {
    port::parse(text).map(|_| ())
}

pub(super) fn is_v4(text: &str) -> Result<(), Malformed> {
    let parsed = text.parse::<core::net::Ipv4Addr>();
    let refused = |_| Malformed::new("IPv4 address", text, "write it in numbers");
    parsed.map(|_| ()).map_err(refused)
}

pub(super) fn is_v6(text: &str) -> Result<(), Malformed> {
    let parsed = text.parse::<core::net::Ipv6Addr>();
    let refused = |_| Malformed::new("IPv6 address", text, "write it in numbers");
    parsed.map(|_| ()).map_err(refused)
}

pub(super) fn is_subnet(text: &str) -> Result<(), Malformed> {
    let parsed = text.parse::<ipnet::IpNet>();
    let refused = |_| Malformed::new("subnet", text, "ADDRESS/LENGTH is wanted");
    parsed.map(|_| ()).map_err(refused)
}

pub(super) fn is_boolean(text: &str) -> Option<bool> {
    systemd_unit::boolean::parse(text)
}

pub(super) fn is_pull(text: &str) -> Result<(), Malformed> {
    let reason = "`missing`, `always` and `never` are known";
    let is_known = ["missing", "always", "never"].contains(&text);
    is_known
        .then_some(())
        .ok_or_else(|| Malformed::new("time to pull", text, reason))
}

pub(super) fn is_delay(text: &str) -> Result<(), Malformed> {
    match time_span::parse(text) {
        Some(TimeSpan::Finite(_)) => Ok(()),
        _ => Err(Malformed::new("time", text, "write it as 500ms or 2s")),
    }
}

const STARTUP: &str = "there is one check, whose failures do not count in `HealthStartPeriod=`";
const HEALTH_LOG: &str = "the last five checks are kept, as with Docker: see `launch inspect`";
const IDENTIFIERS: &str = "numbers are not mapped one by one: `UserNS=auto` gives a range";
const SELINUX: &str = "SELinux is not in the image";
pub(super) const PODMAN: &str = "it is about podman alone";

/// Every key that podman's Quadlet has in `[Container]`.
pub(super) const KEYS: &[(&str, Handling)] = &[
    ("AddCapability", Words("--cap-add", is::<CapabilityOption>)),
    ("AddDevice", Each("--device", is::<DeviceOption>)),
    ("AddHost", Each("--add-host", is::<HostEntry>)),
    ("Annotation", Words("--annotation", is::<Label>)),
    ("AppArmor", Refused("AppArmor profiles are not supported")),
    (
        "AutoUpdate",
        Refused("images are not updated by themselves"),
    ),
    ("CgroupsMode", Special),
    ("ContainerName", One("--name", is::<Name>)),
    ("ContainersConfModule", Refused(PODMAN)),
    ("DNS", Each("--dns", is_address)),
    ("DNSOption", Each("--dns-option", is_word)),
    ("DNSSearch", Each("--dns-search", is_word)),
    (
        "DropCapability",
        Words("--cap-drop", is::<CapabilityOption>),
    ),
    ("Entrypoint", One("--entrypoint", is_entrypoint)),
    ("Environment", Words("--env", is::<Variable>)),
    ("EnvironmentFile", Special),
    (
        "EnvironmentHost",
        Refused("write the variables down, or `Environment=NAME` with `PassEnvironment=`"),
    ),
    ("Exec", Special),
    (
        "ExposeHostPort",
        Refused("containers of a network reach every port; `PublishPort=` is for others"),
    ),
    ("GIDMap", Refused(IDENTIFIERS)),
    ("GlobalArgs", Refused(PODMAN)),
    ("Group", Special),
    ("GroupAdd", Each("--group-add", is_word)),
    ("HealthCmd", One("--health-cmd", is::<HealthCommand>)),
    ("HealthInterval", One("--health-interval", is::<HealthTime>)),
    ("HealthLogDestination", Refused(HEALTH_LOG)),
    ("HealthMaxLogCount", Refused(HEALTH_LOG)),
    ("HealthMaxLogSize", Refused(HEALTH_LOG)),
    (
        "HealthOnFailure",
        One("--health-on-failure", is::<HealthAction>),
    ),
    ("HealthRetries", One("--health-retries", is_count)),
    (
        "HealthStartPeriod",
        One("--health-start-period", is::<HealthTime>),
    ),
    ("HealthStartupCmd", Refused(STARTUP)),
    ("HealthStartupInterval", Refused(STARTUP)),
    ("HealthStartupRetries", Refused(STARTUP)),
    ("HealthStartupSuccess", Refused(STARTUP)),
    ("HealthStartupTimeout", Refused(STARTUP)),
    ("HealthTimeout", One("--health-timeout", is::<HealthTime>)),
    ("HostName", One("--hostname", is::<HostName>)),
    (
        "HttpProxy",
        Refused("variables of a proxy are not passed on; write them down"),
    ),
    ("IP", One("--ip", is_v4)),
    ("IP6", One("--ip6", is_v6)),
    ("Image", Special),
    ("Label", Words("--label", is::<Label>)),
    ("LogDriver", Special),
    ("LogOpt", Refused("the journal has no options here")),
    (
        "Mask",
        Refused("which paths are hidden cannot be chosen one by one"),
    ),
    ("Memory", One("--memory", is::<MemorySize>)),
    ("Mount", Special),
    ("Network", Special),
    ("NetworkAlias", Each("--network-alias", is::<HostName>)),
    ("NoNewPrivileges", Special),
    ("Notify", Special),
    ("PidsLimit", One("--pids-limit", is::<PidsLimit>)),
    ("Pod", Special),
    ("PodmanArgs", Refused(PODMAN)),
    ("PublishPort", Each("--publish", is_ports)),
    ("Pull", One("--pull", is_pull)),
    ("ReadOnly", Flag("--read-only")),
    ("ReadOnlyTmpfs", Special),
    // Ours.
    ("Register", Each("--register", is::<RegisterOption>)),
    ("ReloadCmd", Refused("write `ExecReload=` into [Service]")),
    (
        "ReloadSignal",
        Refused("write `ExecReload=` into [Service]"),
    ),
    ("Retry", One("--retry", is_count)),
    ("RetryDelay", One("--retry-delay", is_delay)),
    ("Rootfs", Refused("a container is made of an image")),
    ("RunInit", Flag("--init")),
    ("SeccompProfile", Special),
    ("Secret", Each("--secret", is::<SecretOption>)),
    ("SecurityLabelDisable", Special),
    ("SecurityLabelFileType", Refused(SELINUX)),
    ("SecurityLabelLevel", Refused(SELINUX)),
    ("SecurityLabelNested", Refused(SELINUX)),
    ("SecurityLabelType", Refused(SELINUX)),
    ("ServiceName", Refused("the unit has the file's name")),
    ("ShmSize", One("--shm-size", is::<MemorySize>)),
    ("StartWithPod", Special),
    ("StopSignal", One("--stop-signal", is::<Signal>)),
    ("StopTimeout", One("--stop-timeout", is_seconds)),
    ("SubGIDMap", Refused(IDENTIFIERS)),
    ("SubUIDMap", Refused(IDENTIFIERS)),
    ("Sysctl", Words("--sysctl", is::<Sysctl>)),
    ("Timezone", Refused("write `Environment=TZ=…`")),
    ("Tmpfs", Each("--tmpfs", is_tmpfs)),
    ("UIDMap", Refused(IDENTIFIERS)),
    ("Ulimit", Each("--ulimit", is::<Ulimit>)),
    ("Unmask", Special),
    ("User", Special),
    ("UserNS", One("--userns", is::<UserNamespace>)),
    ("Volume", Special),
    ("WorkingDir", One("--workdir", is_absolute)),
];

/// The key's handling.
pub(super) fn find(key: &str) -> Option<&'static Handling> {
    let entry = KEYS.iter().find(|(name, _)| *name == key);
    entry.map(|(_, handling)| handling)
}

/// A key that is nearly the one that was written: other case, or one letter off.
pub(super) fn similar(key: &str) -> Option<&'static str> {
    similar_in(KEYS, key)
}

/// The same, of other keys.
pub(super) fn similar_in(
    keys: &'static [(&'static str, Handling)],
    key: &str,
) -> Option<&'static str> {
    let lower = key.to_ascii_lowercase();
    let names = || keys.iter().map(|(name, _)| *name);
    let same = names().find(|name| name.to_ascii_lowercase() == lower);
    same.or_else(|| names().find(|name| is_one_off(&name.to_ascii_lowercase(), &lower)))
}

/// Whether one letter was left out, added, changed, or changed places with its neighbour.
fn is_one_off(right: &str, written: &str) -> bool {
    let (a, b) = (right.as_bytes(), written.as_bytes());
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[head..], &b[head..]);
    let rest = |from: &[u8], skip: usize| from.get(skip..).map(<[u8]>::to_vec);
    rest(a, 1) == Some(b.to_vec())
        || rest(b, 1) == Some(a.to_vec())
        || (!a.is_empty() && rest(a, 1) == rest(b, 1))
        || (a.len() >= 2 && b.len() >= 2 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..])
}

//! What `[Unit]` and `[Service]` of a Quadlet file may say, and what every generated service says.
//!
//! A setting that would make the launcher lose hold of its container is refused.

use super::problem::Problem;
use super::source::Entry;

/// What [Service] has unless the file says otherwise. The container is in the unit's own control group,
/// and the monitor is told first when the unit stops.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("Type", "notify"),
    ("NotifyAccess", "main"),
    ("Delegate", "yes"),
    ("DelegateSubgroup", "launch"),
    ("KillMode", "mixed"),
    // As services have it that delegate nothing: without it systemd would not see that memory was short.
    ("OOMPolicy", "stop"),
    ("SyslogIdentifier", "%N"),
];

/// Settings with the values that they may have.
const CHOICES: &[(&str, &[&str])] = &[
    ("Type", &["notify", "oneshot"]),
    ("NotifyAccess", &["main", "all"]),
    ("Delegate", &["yes", "true", "on", "1"]),
    ("DelegateSubgroup", &["launch"]),
    ("KillMode", &["mixed"]),
];

/// Settings that the generator makes, or that a container has under another name.
const REFUSED: &[(&str, &str)] = &[
    ("ExecStart", "it is made of [Container]"),
    (
        "ExecStop",
        "the unit is stopped by a signal: see `StopSignal=` and `StopTimeout=` in [Container]",
    ),
    (
        "User",
        "the launcher runs as root; write `User=` into [Container]",
    ),
    (
        "Group",
        "the launcher runs as root; write `Group=` into [Container]",
    ),
    (
        "DynamicUser",
        "the launcher runs as root; write `User=` into [Container]",
    ),
    ("RootDirectory", "the container has a root of its own"),
    ("RootImage", "the container has a root of its own"),
];

pub(super) fn check(entry: &Entry, problems: &mut Vec<Problem>) {
    if let Some((_, reason)) = REFUSED.iter().find(|(key, _)| *key == entry.key) {
        problems.push(entry.problem(*reason));
    }
    let Some((_, values)) = CHOICES.iter().find(|(key, _)| *key == entry.key) else {
        return;
    };
    if !values.contains(&entry.value.as_str()) {
        let text = format!(
            "`{}` is not possible here: {}",
            entry.value,
            values.join(" or ")
        );
        problems.push(entry.problem(text));
    }
}

/// The same for a unit that makes a network or a volume.
pub(super) fn check_oneshot(entry: &Entry, problems: &mut Vec<Problem>) {
    const KEYS: &[(&str, &str)] = &[
        ("Type", "the unit makes something once"),
        ("ExecStart", "it is made of the file"),
        ("User", "the launcher runs as root"),
    ];
    if let Some((_, reason)) = KEYS.iter().find(|(key, _)| *key == entry.key) {
        problems.push(entry.problem(*reason));
    }
}

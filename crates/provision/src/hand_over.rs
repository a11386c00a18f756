//! From the network stage to the boot that the machine is for: what was started before is told what changed, systemd
//! reads its units again, and starts what it would have started without this stage.
//!
//! There is no second reboot. What the kernel and the first units have read from `/etc` before is read again here.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use machine_facts::provision_record::{Change, Step};

use crate::pending;

/// Parts of a step's words, and what has to run if one of them changed something, in this order.
const TOLD: [(&str, &[&str]); 9] = [
    ("/etc/sysusers.d/", &["systemd-sysusers"]),
    // Alone in that it creates only: nothing that runs loses a file.
    ("/etc/tmpfiles.d/", &["systemd-tmpfiles", "--create"]),
    (
        "/etc/modules-load.d/",
        &["systemctl", "restart", "systemd-modules-load.service"],
    ),
    (
        "/etc/sysctl.d/",
        &["systemctl", "restart", "systemd-sysctl.service"],
    ),
    ("/etc/udev/", &["udevadm", "control", "--reload"]),
    (
        "/etc/systemd/network/",
        &["systemctl", "restart", "systemd-networkd.service"],
    ),
    (
        "/etc/systemd/resolved.conf",
        &["systemctl", "restart", "systemd-resolved.service"],
    ),
    (
        "/etc/systemd/timesyncd.conf",
        &["systemctl", "try-restart", "systemd-timesyncd.service"],
    ),
    (
        "/etc/systemd/journald.conf",
        &["systemctl", "restart", "systemd-journald.service"],
    ),
];
/// Read by systemd when it starts.
const HOSTNAME: &str = "/etc/hostname";

/// Hands over.
pub(crate) fn hand_over(run: &Path, steps: &[Step]) -> anyhow::Result<()> {
    pending::give_target_back(run)?;
    if changed(steps, HOSTNAME) {
        set_hostname()?;
    }
    // Units first: what is told may belong to one that is new.
    output(&["systemctl", "daemon-reload"])?;
    for words in told(steps) {
        // The boot goes on, as it does when such a unit fails in any boot.
        if let Err(error) = output(words) {
            println!("provision: {error:#}");
        }
    }
    let target = output(&["systemctl", "get-default"])?;
    output(&["systemctl", "--no-block", "start", target.trim()])?;
    // Last: whoever is cut off before comes here again.
    pending::clear(run)
}

fn changed(steps: &[Step], path: &str) -> bool {
    let mut steps = steps.iter();
    steps.any(|step| step.change != Change::Unchanged && step.what.contains(path))
}

fn told(steps: &[Step]) -> impl Iterator<Item = &'static [&'static str]> {
    let rows = TOLD.into_iter();
    rows.filter(|(path, _)| changed(steps, path))
        .map(|(_, words)| words)
}

fn set_hostname() -> anyhow::Result<()> {
    let name = std::fs::read(HOSTNAME).with_context(|| format!("cannot read {HOSTNAME}"))?;
    rustix::system::sethostname(name.trim_ascii()).context("cannot set the host's name")
}

fn output(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.with_context(|| format!("cannot run {}", words[0]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let (words, status) = (words.join(" "), output.status);
    ensure!(status.success(), "{words}: {status}: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let step = |change, what: &str| Step {
            change,
            what: what.to_owned(),
        };
        let steps = [
            step(Change::Created, "file /etc/sysctl.d/50-a.conf (0644 root)"),
            step(Change::Unchanged, "file /etc/udev/rules.d/a (0644 root)"),
            step(Change::Created, "file /etc/hostname (0644 root)"),
            step(Change::Created, "file /etc/tmpfiles.d/a.conf (0644 root)"),
        ];
        let told: Vec<_> = told(&steps).map(|words| words.join(" ")).collect();
        assert_eq!(
            told,
            [
                "systemd-tmpfiles --create",
                "systemctl restart systemd-sysctl.service"
            ]
        );
        assert!(changed(&steps, HOSTNAME) && !changed(&steps[..1], HOSTNAME));
    }

    #[test]
    fn a_command_that_fails_says_what_it_said() {
        let error = output(&["sh", "-c", "echo no >&2; exit 3"]).unwrap_err();
        assert!(error.to_string().ends_with("exit status: 3: no"), "{error}");
        assert_eq!(output(&["echo", "a"]).unwrap(), "a\n");
    }
}

//! The reboot into what a timer's run installed, when the settings allow it.
//!
//! Does not warn anybody by itself: systemd-logind and `systemctl` do.

use std::process::Command;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use update_model::progress::State;
use update_model::reboot::{Lock, Verdict, decide};

use crate::keeper::Keeper;

/// Reboots, or sees to it that the question is asked again when a window opens. Says what will happen.
pub fn when_it_suits(root: &SystemRoot) -> anyhow::Result<Option<String>> {
    let settings = update_files::read_settings(root)?;
    let mut keeper = Keeper::take(root)?;
    if !matches!(keeper.record().state, State::Staged(_)) {
        return Ok(None);
    }
    let verdict = decide(
        &settings.reboot,
        &Lock::Unneeded,
        &TimeZone::system(),
        Timestamp::now(),
    );
    match &verdict {
        Verdict::Now => {
            keeper.enter(State::reboot)?;
            if let Err(error) = command("systemctl", &["--no-block", "reboot"]) {
                keeper.enter(State::reboot_called_off)?;
                return Err(error);
            }
        }
        Verdict::WaitForWindow(opens) => ask_again_at(*opens)?,
        Verdict::AskForLock
        | Verdict::WaitForOthers(_)
        | Verdict::NoWindow
        | Verdict::WaitForOrder => {}
    }
    Ok(Some(format!("the reboot {verdict}")))
}

/// By a timer that lasts until the next boot; there is one for each window, however often it is asked for.
fn ask_again_at(time: Timestamp) -> anyhow::Result<()> {
    let unit = format!("keelson-update-window-{}", time.as_second());
    if command(
        "systemctl",
        &["--quiet", "is-active", &format!("{unit}.timer")],
    )
    .is_ok()
    {
        return Ok(());
    }
    let calendar = format!("--on-calendar={} UTC", time.strftime("%Y-%m-%d %H:%M:%S"));
    command(
        "systemd-run",
        &[
            "--quiet",
            "--collect",
            &format!("--unit={unit}"),
            &calendar,
            "--timer-property=AccuracySec=1s",
            "/usr/bin/osctl",
            "update",
            "--scheduled",
        ],
    )
}

fn command(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        status.success(),
        "{program} {}: {status}",
        arguments.join(" ")
    );
    Ok(())
}

//! What the machine does for whoever reboots it: says who is logged in, reboots, and asks again later.
//!
//! A seam: tests have a host of their own. Decides nothing.

use std::fmt::Debug;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;

use crate::logind;

/// What is asked again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether there is a newer release, and whether to reboot: as the timer does.
    Update,
    /// Whether to reboot.
    Reboot,
}

/// How a reboot with notice ended, if not with the end of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The machine goes down.
    GoesDown,
    /// Somebody called it off, or it could not be.
    CalledOff(String),
}

/// The machine.
pub trait Host: Debug {
    /// Users who are logged in.
    fn logged_in(&self) -> anyhow::Result<Vec<String>>;

    /// Reboots at once.
    fn reboot(&self) -> anyhow::Result<()>;

    /// Tells users that the machine reboots, gives them time, and reboots. Waits for that.
    fn reboot_with_notice(&self, notice: Duration, message: &str) -> anyhow::Result<Notice>;

    /// Has a question asked at this time, once, however often it is asked for.
    fn ask_again_at(&self, time: Timestamp, question: Question) -> anyhow::Result<()>;
}

/// The machine that this process runs on.
#[derive(Clone, Copy, Debug)]
pub struct LiveHost;

impl Host for LiveHost {
    fn logged_in(&self) -> anyhow::Result<Vec<String>> {
        logind::logged_in()
    }

    fn reboot(&self) -> anyhow::Result<()> {
        command("systemctl", &["--no-block", "reboot"])
    }

    fn reboot_with_notice(&self, notice: Duration, message: &str) -> anyhow::Result<Notice> {
        logind::reboot_with_notice(notice, message)
    }

    /// By a timer that lasts until the next boot; its name holds the time.
    fn ask_again_at(&self, time: Timestamp, question: Question) -> anyhow::Result<()> {
        let (name, ask): (_, &[&str]) = match question {
            Question::Update => ("window", &["/usr/bin/osctl", "update", "--scheduled"]),
            Question::Reboot => ("reboot", ASK_FOR_REBOOT),
        };
        let unit = format!("keelson-update-{name}-{}", time.as_second());
        let timer = format!("{unit}.timer");
        if command("systemctl", &["--quiet", "is-active", &timer]).is_ok() {
            return Ok(());
        }
        let unit = format!("--unit={unit}");
        let calendar = format!("--on-calendar={} UTC", time.strftime("%Y-%m-%d %H:%M:%S"));
        let mut arguments = vec!["--quiet", "--collect", &unit, &calendar];
        arguments.push("--timer-property=AccuracySec=1s");
        if question == Question::Reboot {
            // Machines that wait for each other do not all ask at the same moment.
            arguments.push("--timer-property=RandomizedDelaySec=1min");
        }
        arguments.extend(ask);
        command("systemd-run", &arguments)
    }
}

/// Nobody waits for the answer, which may take as long as draining does.
const ASK_FOR_REBOOT: &[&str] = &[
    "/usr/bin/busctl",
    "--system",
    "--expect-reply=no",
    "call",
    "org.keelson.Update1",
    "/org/keelson/Update1",
    "org.keelson.Update1.Manager",
    "RebootWhenItSuits",
];

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

//! A way into a machine that stops at its first boot: a root shell on the console, if the kernel command line asks for it.
//!
//! Whoever writes the command line can have any program run as root anyway. Without the word nobody gets in.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::firmware::Firmware;

/// The shell.
const UNIT: &str = "keelson-emergency-shell.service";

/// Has systemd start the shell, unless it runs already; else says how to get it.
pub(crate) fn open_if_asked(firmware: &Firmware) -> anyhow::Result<()> {
    if !firmware.asks_for_shell()? {
        println!(
            "provision: keelson.emergency=1 on the kernel command line gives a root shell here"
        );
        return Ok(());
    }
    println!("provision: a root shell is on the console, by keelson.emergency");
    tell("start")
}

/// Nobody is left in who came in only because the boot did not go on.
pub(crate) fn close_if_asked(firmware: &Firmware) -> anyhow::Result<()> {
    if firmware.asks_for_shell()? {
        tell("stop")?;
    }
    Ok(())
}

fn tell(verb: &str) -> anyhow::Result<()> {
    let mut command = Command::new("systemctl");
    // To start it is not waited for, since its standard input is the console that this program writes to.
    command.args((verb == "start").then_some("--no-block"));
    let status = command.args([verb, UNIT]).status();
    let status = status.context("cannot run systemctl")?;
    ensure!(status.success(), "systemctl {verb} {UNIT}: {status}");
    Ok(())
}

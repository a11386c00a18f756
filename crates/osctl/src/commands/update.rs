//! `osctl update`: orders a run of `updaterd`, and shows how far it is.

use std::io::{IsTerminal as _, Write as _};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use machine_facts::system_root::SystemRoot;

use crate::cli::UpdateArguments;
use crate::update_service::{Progress, UpdateService};
use crate::update_view::UpdateView;

/// Runs the command.
pub(crate) fn run(arguments: &UpdateArguments) -> anyhow::Result<ExitCode> {
    ensure_root()?;
    let goal = match arguments {
        UpdateArguments { check: true, .. } => "check",
        UpdateArguments {
            download_only: true,
            ..
        } => "download",
        _ => "install",
    };
    let from = from(arguments.from.as_deref())?;
    let order = (goal, from.as_str(), arguments.retry, arguments.scheduled);
    let mut teller = Teller::default();
    let done = UpdateService::connect()?.update(&order, &mut |progress| teller.tell(progress));
    teller.finish();
    println!("{}", done?);
    let is_staged = || UpdateView::read(&SystemRoot::new("/")).is_ok_and(|u| u.state == "staged");
    if arguments.reboot && is_staged() {
        reboot()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What changes something is the administrator's.
pub(crate) fn ensure_root() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "this needs root; `osctl why` and `osctl status` do not"
    );
    Ok(())
}

/// A folder's absolute path, since updaterd runs elsewhere; URLs as they are.
fn from(source: Option<&str>) -> anyhow::Result<String> {
    match source {
        None => Ok(String::new()),
        Some(url) if url.contains("://") => Ok(url.to_owned()),
        Some(folder) => {
            let path = std::fs::canonicalize(folder)
                .with_context(|| format!("{folder} is neither a URL nor a folder"))?;
            let path = path.into_os_string().into_string();
            path.map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))
        }
    }
}

/// Asks systemd for it; this connection ends with the machine.
pub(crate) fn reboot() -> anyhow::Result<()> {
    let status = Command::new("systemctl")
        .args(["--no-block", "reboot"])
        .status();
    let status = status.context("cannot start systemctl")?;
    ensure!(status.success(), "systemctl reboot: {status}");
    Ok(())
}

/// A line for each phase on standard error, with percents on a terminal.
#[derive(Debug, Default)]
struct Teller {
    phase: String,
    is_open: bool,
}

impl Teller {
    fn tell(&mut self, (phase, done, total): Progress) {
        let mut error = std::io::stderr().lock();
        if phase != self.phase && !phase.is_empty() {
            let end = if self.is_open { "\n" } else { "" };
            // A terminal that went away does not stop an update.
            let _ = write!(error, "{end}{phase}");
            self.is_open = true;
            self.phase.clone_from(&phase);
        }
        if error.is_terminal() && total > 0 && !phase.is_empty() {
            let percent = done.saturating_mul(100) / total;
            let _ = write!(error, "\r{phase} {percent} %");
        }
    }

    fn finish(&mut self) {
        if self.is_open {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_absolute() {
        assert_eq!(from(None).unwrap(), "");
        assert_eq!(from(Some("http://a/b")).unwrap(), "http://a/b");
        assert!(from(Some(".")).unwrap().starts_with('/'));
        let text = from(Some("/nowhere/at/all")).unwrap_err().to_string();
        assert!(text.contains("neither a URL nor a folder"), "{text}");
    }
}

//! `osctl update`: orders a run of `updaterd`, and shows how far it is.

use std::io::{self, IsTerminal as _};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use machine_facts::system_root::SystemRoot;
use serde::Serialize;
use update_model::progress_line::Progress;

use crate::cli::UpdateArguments;
use crate::update_service::UpdateService;
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
    let out = io::stderr();
    let is_terminal = out.is_terminal();
    let mut teller = Teller::new(out.lock(), is_terminal);
    let done = UpdateService::connect()?.update(&order, &mut |progress| teller.tell(&progress));
    teller.finish();
    let result = done?;
    let update = UpdateView::read(&SystemRoot::new("/")).ok();
    let is_staged = update.as_ref().is_some_and(|u| u.state == "staged");
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&Done { result, update })?
        );
    } else {
        println!("{result}");
    }
    if arguments.reboot && is_staged {
        reboot()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// For programs.
#[derive(Serialize)]
struct Done {
    result: String,
    update: Option<UpdateView>,
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

/// A line for each phase on standard error, with a bar on a terminal.
#[derive(Debug)]
struct Teller<W> {
    out: W,
    is_terminal: bool,
    phase: String,
}

/// Back to the line's beginning, and what stands there is gone (ECMA-48, CR and EL).
const LINE_ANEW: &str = "\r\x1b[K";

impl<W: io::Write> Teller<W> {
    fn new(out: W, is_terminal: bool) -> Self {
        Self {
            out,
            is_terminal,
            phase: String::new(),
        }
    }

    fn tell(&mut self, progress: &Progress) {
        let is_new = progress.phase != self.phase;
        if progress.phase.is_empty() || !is_new && !self.is_terminal {
            return;
        }
        // A terminal that went away does not stop an update.
        let _ = if !self.is_terminal {
            writeln!(self.out, "{}", progress.phase)
        } else if is_new && !self.phase.is_empty() {
            write!(self.out, "\n{progress}")
        } else {
            write!(self.out, "{LINE_ANEW}{progress}")
        };
        let _ = self.out.flush();
        self.phase.clone_from(&progress.phase);
    }

    fn finish(mut self) {
        if self.is_terminal && !self.phase.is_empty() {
            let _ = writeln!(self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(is_terminal: bool) -> String {
        let mut out = Vec::new();
        let mut teller = Teller::new(&mut out, is_terminal);
        for (phase, done, total) in [
            ("", 0, 0),
            ("looking", 0, 0),
            ("fetching", 1, 4),
            ("fetching", 4, 4),
            ("", 0, 0),
        ] {
            let phase = phase.to_owned();
            teller.tell(&Progress { phase, done, total });
        }
        teller.finish();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_gets_a_bar_and_a_file_a_line_for_each_phase() {
        assert_eq!(told(false), "looking\nfetching\n");
        let text = told(true);
        assert_eq!(text.matches('\n').count(), 2, "{text:?}");
        assert!(
            text.contains(" 25 %\r\x1b[Kfetching") && text.ends_with("100 %\n"),
            "{text:?}"
        );
    }

    #[test]
    fn folders_are_made_absolute() {
        assert_eq!(from(None).unwrap(), "");
        assert_eq!(from(Some("http://a/b")).unwrap(), "http://a/b");
        assert!(from(Some(".")).unwrap().starts_with('/'));
        let text = from(Some("/nowhere/at/all")).unwrap_err().to_string();
        assert!(text.contains("neither a URL nor a folder"), "{text}");
    }
}

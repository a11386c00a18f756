//! `osctl health`: waits until the machine is healthy, watches it, and clears its failed boots.
//!
//! It does not rename boot entries (systemd-bless-boot does) and does not reboot (the unit does).

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::cli::HealthArguments;
use crate::failed_boots;
use crate::health_config::HealthConfig;
use crate::health_sequence::{self, Audience, Limits, Outcome};
use crate::kernel_command_line;
use crate::live_machine::{BootClock, LiveMachine};
use crate::systemd::Systemd;
use machine_facts::boot_facts::BootFacts;
use machine_facts::health_report::{HealthReport, seconds};
use machine_facts::system_root::SystemRoot;

const CONSOLE: &str = "/dev/console";

/// Runs the command.
pub(crate) fn run(arguments: &HealthArguments) -> anyhow::Result<ExitCode> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the health check needs root; `osctl status` shows its last result"
    );
    let root = SystemRoot::new("/");
    let boot = BootFacts::read(&root)?;
    let config = HealthConfig::read(&root)?;
    let limits = limits(arguments, &config, soak_of_command_line(&root));
    let mut machine = LiveMachine {
        root: root.clone(),
        systemd: Systemd::new().context("cannot wait for events")?,
        required_units: config.required_units,
    };
    let mut announcer = Announcer::new(&root, &boot);
    let outcome = health_sequence::run(limits, &mut BootClock, &mut machine, &mut announcer);
    Ok(announcer.finish(outcome))
}

/// A typing error on the kernel command line must not end in a reboot.
fn soak_of_command_line(root: &SystemRoot) -> Option<Duration> {
    kernel_command_line::read_soak(root).unwrap_or_else(|error| {
        eprintln!("osctl: ignored: {}", error.reason());
        None
    })
}

fn limits(
    arguments: &HealthArguments,
    config: &HealthConfig,
    soak_of_command_line: Option<Duration>,
) -> Limits {
    let soak = arguments.soak.map(Duration::from_secs);
    let timeout = arguments.timeout.map(Duration::from_secs);
    Limits {
        soak: soak.or(soak_of_command_line).unwrap_or(config.soak),
        timeout: timeout.unwrap_or(config.timeout),
    }
}

/// What was last said on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Healthy,
    Relapsed,
}

/// Tells the console, the journal and `/run/keelson/health.toml`, each only when it is news.
struct Announcer<'a> {
    root: &'a SystemRoot,
    boot: &'a BootFacts,
    said: Said,
    written: Option<HealthReport>,
}

impl<'a> Announcer<'a> {
    fn new(root: &'a SystemRoot, boot: &'a BootFacts) -> Self {
        Self {
            root,
            boot,
            said: Said::Nothing,
            written: None,
        }
    }

    /// Nobody may be listening. Opened anew each time, for a login may hang up the terminal.
    fn tell_console(&self, line: &str) {
        let console = File::options().append(true).open(self.root.path(CONSOLE));
        let _ =
            console.and_then(|mut file| file.write_all(format!("keelson: {line}\n").as_bytes()));
    }

    fn good_news(&self, line: &str) {
        println!("{line}");
        self.tell_console(line);
    }

    fn bad_news(&self, line: &str) {
        eprintln!("{line}");
        self.tell_console(line);
    }

    fn write(&mut self, report: HealthReport) {
        if self.written.as_ref() == Some(&report) {
            return;
        }
        if let Err(error) = report.write(self.root) {
            eprintln!("osctl: cannot write the result for osctl status: {error}");
        }
        self.written = Some(report);
    }

    fn finish(&mut self, outcome: Outcome) -> ExitCode {
        match outcome {
            Outcome::Healthy {
                healthy_after,
                notes,
            } => {
                self.clear_failed_boots();
                self.write(HealthReport::Healthy {
                    healthy_after_seconds: seconds(healthy_after),
                    notes,
                });
                ExitCode::SUCCESS
            }
            Outcome::Unhealthy {
                unhealthy_after,
                reasons,
            } => {
                let after_seconds = unhealthy_after.as_secs_f64();
                self.bad_news(&format!("unhealthy after {after_seconds:.1} s:"));
                for reason in &reasons {
                    self.bad_news(&format!("  {reason}"));
                }
                self.write(HealthReport::Unhealthy {
                    unhealthy_after_seconds: seconds(unhealthy_after),
                    reasons,
                });
                ExitCode::FAILURE
            }
        }
    }

    /// The record helps to end a loop of failures and must not start one: a partition that is
    /// missing or damaged is a warning.
    fn clear_failed_boots(&self) {
        if let Err(error) = failed_boots::clear(self.root, self.boot) {
            eprintln!("osctl: failed boots are not cleared: {}", error.reason());
        }
    }
}

impl Audience for Announcer<'_> {
    fn checking(&mut self, reasons: &[String]) {
        if self.said == Said::Healthy {
            self.said = Said::Relapsed;
            self.bad_news(&format!("no longer healthy: {}", reasons.join("; ")));
        }
        self.write(HealthReport::Checking {
            reasons: reasons.to_vec(),
        });
    }

    fn soaking(&mut self, healthy_after: Duration, notes: &[String]) {
        let healthy = match self.said {
            Said::Nothing => "healthy",
            Said::Relapsed => "healthy again",
            Said::Healthy => return,
        };
        self.said = Said::Healthy;
        self.good_news(&healthy_line(healthy, healthy_after, self.boot));
        self.write(HealthReport::Soaking {
            healthy_after_seconds: seconds(healthy_after),
            notes: notes.to_vec(),
        });
    }
}

fn healthy_line(healthy: &str, healthy_after: Duration, boot: &BootFacts) -> String {
    let version = boot.version.as_deref().unwrap_or("unknown");
    format!(
        "{healthy} after {:.1} s (version {version}, slot {})",
        healthy_after.as_secs_f64(),
        boot.slot_name()
    )
}

#[cfg(test)]
mod tests;

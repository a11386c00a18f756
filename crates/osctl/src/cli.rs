//! The command line of `osctl`, as clap derives it. No behaviour.

use clap::{Args, Parser, Subcommand};

/// Shows what this Keelson machine runs and whether it is healthy.
#[derive(Debug, Parser)]
#[command(name = "osctl", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show version, slots, boot counter, state and health
    #[command(after_long_help = STATUS_HELP)]
    Status(StatusArguments),
    /// Wait until the machine is healthy, watch it for a while, and record that this version is good
    #[command(after_long_help = HEALTH_HELP)]
    Health(HealthArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Of `osctl status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of `osctl health`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HealthArguments {
    /// How long the machine must stay healthy [default: keelson.soak= of the kernel command line,
    /// soak-seconds of health.toml, 30]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) soak: Option<u64>,
    /// How long it may take to become healthy [default: timeout-seconds of health.toml, 300]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

const STATUS_HELP: &str = "\
What cannot be found out is shown as unknown, with the reason; most of that needs root.
Exit code: 0, or 1 if this is no Keelson system.

JSON (a part that cannot be found out is null, and stands in errors):
  release         name, version, build_id, product
  boot            path (uefi, direct), slot, disk, root_device, root_hash, first_boot, init_seconds
  verification    state (verified, corrupted, not_verified), reason
  boot_entry      state (good, counted, not_counted), tries_left, tries_done
  other_versions  list of version, state (good, counted), tries_left, tries_done
  failed_boots    boots in a row that did not become healthy, this one included until it is
  state           path, device, size_bytes, free_bytes
  health          state (not_checked, checking, soaking, healthy, unhealthy), reasons, notes,
                  healthy_after_seconds (since the kernel's start), healthy_for_seconds
  errors          list of part, reason";

const HEALTH_HELP: &str = "\
The machine is healthy if no unit has failed, every required unit is active, and the network is
configured. keelson-health.service runs this at every boot; the result is in osctl status and in
/run/keelson/health.toml. Needs root.

Configuration: /usr/lib/keelson/health.toml, overridden key by key by /etc/keelson/health.toml:
  required-units = [\"ssh.socket\"]
  soak-seconds = 30
  timeout-seconds = 300

Exit code: 0 if it stayed healthy, 1 if not.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_take_seconds() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["osctl"], words].concat());
        let parsed = parse(&["health", "--soak", "0", "--timeout=9"]).unwrap();
        let Command::Health(arguments) = parsed.command else {
            panic!("{parsed:?}");
        };
        assert_eq!((arguments.soak, arguments.timeout), (Some(0), Some(9)));
        assert!(parse(&["health", "--soak", "-1"]).is_err());
        assert!(parse(&[]).is_err());
    }
}

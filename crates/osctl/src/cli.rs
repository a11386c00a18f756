//! The command line of `osctl`, as clap derives it. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use update_model::version::Version;

/// Shows what this Keelson machine runs and whether it is healthy; updates and resets it.
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
    /// Look for a release, install it into the idle slot, and leave the reboot to you
    #[command(after_long_help = UPDATE_HELP)]
    Update(UpdateArguments),
    /// Go back to the version in the other slot, and the running one is not taken again; or withdraw what waits there
    /// for its first boot
    Rollback(RollbackArguments),
    /// Reset this machine to what its image is, at the next boot
    #[command(after_long_help = RESET_HELP)]
    Reset(ResetArguments),
    /// Say in one sentence why this machine is or isn't updating
    Why(JsonArguments),
    /// Show who holds the cluster's reboot lock, take a slot away, or change how many there are
    #[command(after_long_help = LOCK_HELP)]
    Lock {
        /// What to do.
        #[command(subcommand)]
        command: LockCommand,
    },
    /// List what updates did on this machine, the oldest first
    History(JsonArguments),
    /// Stay at a version or go to it, whatever else is released
    Pin(PinArguments),
    /// Show the channel whose releases are taken, or choose another
    Channel(ChannelArguments),
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

/// Of `osctl update`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of the command line
pub(crate) struct UpdateArguments {
    /// Say what would be installed, and install nothing
    #[arg(long, conflicts_with_all = ["download_only", "reboot"])]
    pub(crate) check: bool,
    /// Write it to the idle slot, but do not let it boot yet
    #[arg(long, conflicts_with = "reboot")]
    pub(crate) download_only: bool,
    /// Take releases from here: a URL, or a folder [default: sources of update.toml]
    #[arg(long, value_name = "URL|DIR")]
    pub(crate) from: Option<String>,
    /// Take a version that did not come up healthy on this machine, or is halted in its cluster, too
    #[arg(long)]
    pub(crate) retry: bool,
    /// Reboot once it is installed
    #[arg(long)]
    pub(crate) reboot: bool,
    /// As the timer does it: wait after failures, and reboot as update.toml says
    #[arg(long, conflicts_with_all = ["check", "download_only", "from", "retry", "reboot"])]
    pub(crate) scheduled: bool,
    /// Print JSON: result, a sentence, and update, as osctl status has it
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of `osctl rollback`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArguments {
    /// Go to a newer version in the other slot, which gets its tries again
    #[arg(long)]
    pub(crate) forward: bool,
    /// Leave the reboot to you
    #[arg(long)]
    pub(crate) no_reboot: bool,
}

/// Of `osctl reset`.
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag of the command line
pub(crate) struct ResetArguments {
    /// Keep the machine id and the SSH host keys
    #[arg(long)]
    pub(crate) keep_identity: bool,
    /// Keep a file, or a folder with all that is in it; may be given several times
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) keep: Vec<PathBuf>,
    /// Keep nothing: make a new file system, and tell the disk that the old one's data is not needed
    #[arg(long, conflicts_with_all = ["keep_identity", "keep"])]
    pub(crate) erase: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Reboot once it is ordered
    #[arg(long)]
    pub(crate) now: bool,
    /// Take back what was ordered and not carried out yet
    #[arg(long, conflicts_with_all = ["keep_identity", "keep", "erase", "yes", "now"])]
    pub(crate) cancel: bool,
}

/// Of commands that only show something.
#[derive(Debug, Clone, Args)]
pub(crate) struct JsonArguments {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of `osctl lock`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LockCommand {
    /// Show who holds it
    Status(JsonArguments),
    /// Take the slot of a machine that will not come back
    Unlock {
        /// Its machine id, as `osctl lock status` shows it
        machine: String,
    },
    /// Change how many machines may reboot at once; with 0 none may
    Slots {
        /// How many
        slots: u32,
    },
}

/// Of `osctl pin`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PinArguments {
    /// The version
    #[arg(required_unless_present = "none")]
    pub(crate) version: Option<Version>,
    /// Take releases as they come again
    #[arg(long, conflicts_with = "version")]
    pub(crate) none: bool,
}

/// Of `osctl channel`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChannelArguments {
    /// Its name: stable, beta, edge, or one of your own
    pub(crate) name: Option<String>,
    /// Take the one of update.toml again
    #[arg(long, conflicts_with = "name")]
    pub(crate) default: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["name", "default"])]
    pub(crate) json: bool,
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
  reset           state (none, ordered, remains), erases, keeps_identity, keeps (paths)
  provision       state (not_looked_for, nothing, applied, deferred, refused, failed) of the first-boot
                  configuration, reasons, source, digest
  update          state (idle, checking, preflight, fetching, writing, staged, rebooting,
                  awaiting-health, good, bad, failed), version, held_back (halted,
                  store-unreachable), failing_attempts, why, channel, pinned
  errors          list of part, reason";

const UPDATE_HELP: &str = "\
Blocks that this machine has already are not fetched, and an interrupted download goes on where it was.
The running version and its slot are not touched: after the reboot the new version has three tries to come
up healthy, and if it fails them, the machine returns to the running one by itself. Needs root.

Configuration, /etc/keelson/update.toml:
  sources = [\"https://updates.example.com/keelson\"]   # mirrors of one release directory, or one folder
  channel = \"stable\"
  root-of-trust = \"/etc/keelson/update-root.json\"     # the builder's 1.root.json
  reboot = \"manual\"            # or \"immediate\", or windows of local time:
  # reboot = { windows = [{ days = [\"saturday\"], start = \"02:00\", minutes = 120 }] }
  reboot-notice = 300            # seconds for users who are logged in; `shutdown -c` calls the reboot off
  bandwidth-limit = 0            # bytes per second; 0 is none
  # proxy = \"http://proxy:3128\"
Across a cluster, whose machines tell each other in its store ([store]) how updates ended:
  halt = { bad-percent = 10, bad-machines = 2, store-unreachable = \"wait\" }
A release is halted once 10 % of the machines that reported it were bad with it, and those are at least two,
or one where one is 10 % of all; with 0 percent never. Without the store's answer nothing is taken, unless
store-unreachable is \"proceed\".
Turns at rebooting (see osctl lock --help):
  reboot-lock = { store = { group = \"default\" } }       # or \"none\", or another's:
  # reboot-lock = { fleet-lock = { url = \"http://10.0.0.1:2379\", group = \"default\" } }
  drain-timeout = 300            # seconds for the programs in /etc/keelson/drain.d
  drain-failure = \"put-off\"    # or \"reboot\"
  store = { endpoints = [\"https://10.0.0.1:2379\"], trusted-ca-file = \"/etc/ssl/ca.pem\" }
  # store.client-certificate = { cert-file = \"/etc/...\", key-file = \"/etc/...\" }
  # store.credentials = { user = \"updates\", password-file = \"/etc/...\" }

Exit code: 0 also if there was nothing to do, 1 if it failed.";

const LOCK_HELP: &str = "\
A machine takes a slot of its group's lock before it reboots by itself into a release, and gives it back once
that is healthy, or once it has fallen back and is. One that does not become healthy keeps its slot, so that a
bad release stops there. Who may reboot when is reboot and reboot-lock of /etc/keelson/update.toml. Needs root.

The lock is the value of /keelson/reboot-lock/GROUP in the store, JSON:
  {\"slots\":1,\"holders\":{\"MACHINE-ID\":{\"since\":\"2026-11-28T02:00:00Z\"}}}
kvd serves the same lock as FleetLock at its clients' URL. Of a FleetLock server the holders are not known.

Before the reboot, and with the lock held, every program in /usr/lib/keelson/drain.d and /etc/keelson/drain.d is
called as PROGRAM drain REASON, in the order of the names; after it, or if it is called off, as
PROGRAM undrain REASON, in the reverse order.";

const RESET_HELP: &str = "\
The next boot removes everything in /var, /home, /root, /opt, /srv and /usr/local and all changes to /etc,
before anything uses them, and goes on as a first boot: users, keys and what else you gave the machine must
come from where they came from then, or be kept. The installed versions and their boot entries stay, and so
does what is known of updates (the newest version and metadata seen, versions that were bad), so that nobody
can offer this machine something older after the reset. Until that boot, --cancel takes it back and
`osctl status` shows it. Needs root.

A power cut at any point does no harm: the next boot goes on. What is removed is not overwritten on the
disk. --erase makes a new file system over all of it and discards the old blocks; whether they can still be
read after that is up to the disk.

--keep PATH must exist, and lie in one of the folders above; links before its last name are followed now, not
then. What is kept of /etc is kept in the configuration of every installed version. Owners are kept as
numbers: users made on this machine are lost unless /etc/passwd, /etc/group and /etc/shadow are kept too. A
member of a kvd cluster whose /var/lib/kvd is lost must be replaced: see `kvctl member replace`.

Examples:
  osctl reset                                        # asks; then reboot when it suits
  osctl reset --keep-identity --keep /home /var/log --yes --now
  osctl reset --keep /etc/systemd/network /etc/keelson/update.toml
  osctl reset --erase                                # before the machine is given away
  osctl reset --cancel

Exit code: 0 if it was ordered or taken back, 1 if not.";

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

    #[test]
    fn contradictions_are_refused() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["osctl"], words].concat()).is_ok();
        assert!(parse(&["update", "--from", "http://a", "--retry"]));
        assert!(!parse(&["update", "--check", "--download-only"]));
        assert!(!parse(&["update", "--scheduled", "--from", "http://a"]));
        assert!(parse(&["pin", "1.2"]) && parse(&["pin", "--none"]));
        assert!(!parse(&["pin"]) && !parse(&["pin", "1.2", "--none"]) && !parse(&["pin", "1_2"]));
        assert!(parse(&["lock", "status", "--json"]) && parse(&["lock", "slots", "2"]));
        assert!(parse(&["lock", "unlock", "0123"]) && !parse(&["lock", "unlock"]));
        assert!(parse(&[
            "reset", "--keep", "/a", "/b", "--keep", "/c", "--yes", "--now"
        ]));
        assert!(!parse(&["reset", "--erase", "--keep-identity"]) && !parse(&["reset", "/a"]));
        assert!(parse(&["reset", "--cancel"]) && !parse(&["reset", "--cancel", "--now"]));
        assert!(parse(&["channel"]) && parse(&["channel", "edge"]));
    }
}

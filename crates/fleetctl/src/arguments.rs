//! The commands and their flags.
//!
//! What they mean is explained to the user here, and carried out elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

/// Where fleetd listens.
pub(crate) const ENDPOINT: &str = "unix:///var/run/fleet.sock";
/// Where the keys of SSH hosts are kept.
pub(crate) const KNOWN_HOSTS: &str = "~/.fleetctl/known_hosts";

const HELP: &str = "\
{about}

{usage-heading} {usage}

Units:
  submit           Upload units without placing them on a machine
  load             Place units on machines, first submitting them if necessary
  start            Start units, first submitting and loading them if necessary
  stop             Stop units; they stay where they are
  restart          Stop units and start them again, one after another
  unload           Take units from their machines
  destroy          Remove units from the cluster
  move             Move a unit to another machine
  update           Replace the file of many units, a few at a time
  apply            Make the cluster's units those of a folder
  verify           DEPRECATED: signatures of units are no more
Looking:
  list-units       List the units that are on machines
  list-unit-files  List the units that exist in the cluster
  list-machines    List the machines of the cluster
  cat              Print the file of a unit
  status           Print what systemd says of units, wherever they are
  journal          Print the journal of a unit, wherever it is
  explain          Say where a unit can run, and why nowhere else
  top              Show the machines with their units and reservations, kept up to date
  watch            Print what changes, as it happens
Machines:
  cordon           Give a machine no new units
  drain            Move the units of a machine elsewhere
  uncordon         Let a machine have units again
  ssh              Open a shell or run a command on a machine
Tools:
  version          Print the version
  completions      Print completions for a shell
  help             Explain a command

{options}{after-help}";

const EXAMPLES: &str = "\
Examples:
  fleetctl start hello.service
  fleetctl --tunnel 10.10.10.10 list-units
  fleetctl explain hello.service
  fleetctl apply -f units/ --dry-run

Every flag can be given by the environment: FLEETCTL_ENDPOINT for --endpoint and so on.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "fleetctl",
    version,
    about = "fleetctl is a command-line interface to fleet, the cluster-wide init system.",
    help_template = HELP,
    after_help = EXAMPLES,
    infer_subcommands = true,
    disable_version_flag = true,
    subcommand_required = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where fleet's API is: `unix://PATH`, `http://HOST:PORT` or `https://HOST:PORT`.
    #[arg(long, global = true, env = "FLEETCTL_ENDPOINT", default_value = ENDPOINT, value_parser = text_or::<Endpoint>)]
    pub(crate) endpoint: String,
    /// Reach the API through this host, by SSH.
    #[arg(
        long,
        global = true,
        env = "FLEETCTL_TUNNEL",
        default_value = "",
        value_name = "HOST[:PORT]",
        hide_default_value = true
    )]
    pub(crate) tunnel: String,
    /// The user for SSH.
    #[arg(long, global = true, env = "FLEETCTL_SSH_USERNAME", default_value = "core", value_parser = text_or::<UserName>)]
    pub(crate) ssh_username: String,
    /// Seconds for an SSH connection to come about.
    #[arg(long, global = true, env = "FLEETCTL_SSH_TIMEOUT", default_value = "10.0", value_parser = seconds)]
    pub(crate) ssh_timeout: Duration,
    /// Verify the keys of SSH hosts.
    #[arg(long, global = true, env = "FLEETCTL_STRICT_HOST_KEY_CHECKING", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = boolean)]
    pub(crate) strict_host_key_checking: bool,
    /// The file with the keys of SSH hosts.
    #[arg(long, global = true, env = "FLEETCTL_KNOWN_HOSTS_FILE", default_value = KNOWN_HOSTS, value_parser = text_or::<KnownHosts>)]
    pub(crate) known_hosts_file: String,
    /// Seconds for one request.
    #[arg(long, global = true, env = "FLEETCTL_REQUEST_TIMEOUT", default_value = "3.0", value_parser = seconds)]
    pub(crate) request_timeout: Duration,
    /// The certificate authority for https.
    #[arg(
        long,
        global = true,
        env = "FLEETCTL_CA_FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) ca_file: String,
    /// Our certificate for https.
    #[arg(
        long,
        global = true,
        env = "FLEETCTL_CERT_FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) cert_file: String,
    /// Our certificate's key.
    #[arg(
        long,
        global = true,
        env = "FLEETCTL_KEY_FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) key_file: String,
    /// Print JSON: one value for a list, one a line for what happens.
    #[arg(long, global = true, env = "FLEETCTL_JSON", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = boolean, hide_default_value = true, hide_possible_values = true)]
    pub(crate) json: bool,
    /// Tell more on standard error.
    #[arg(long, global = true, env = "FLEETCTL_DEBUG", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = ArgAction::Set, value_parser = boolean, hide_default_value = true, hide_possible_values = true)]
    pub(crate) debug: bool,
    /// Print the version and exit.
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
    /// `API` is all there is: fleetctl never talks to the store itself.
    #[arg(
        long,
        global = true,
        env = "FLEETCTL_DRIVER",
        default_value = "API",
        hide = true
    )]
    pub(crate) driver: String,
    #[arg(
        long,
        global = true,
        env = "FLEETCTL_ETCD_KEY_PREFIX",
        default_value = "",
        hide = true
    )]
    etcd_key_prefix: String,
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    experimental_api: Option<String>,
    #[arg(long, global = true, hide = true)]
    etcd_keyfile: Option<String>,
    #[arg(long, global = true, hide = true)]
    etcd_certfile: Option<String>,
    #[arg(long, global = true, hide = true)]
    etcd_cafile: Option<String>,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the units that are on machines.
    ListUnits(List),
    /// List the units that exist in the cluster.
    ListUnitFiles(List),
    /// List the machines of the cluster.
    ListMachines(List),
    /// Upload units without placing them on a machine.
    Submit(Change),
    /// Place units on machines, first submitting them if necessary.
    Load(Change),
    /// Start units, first submitting and loading them if necessary.
    Start(Change),
    /// Stop units; they stay where they are.
    Stop(Change),
    /// Take units from their machines.
    Unload(Change),
    /// Stop units and start them again, one after another.
    Restart(Change),
    /// Remove units from the cluster.
    Destroy(Change),
    /// Print the file of a unit.
    Cat {
        /// The unit.
        #[arg(required = true, num_args = 1)]
        unit: String,
    },
    /// Print what systemd says of units, wherever they are.
    Status(Status),
    /// Print the journal of a unit, wherever it is.
    Journal(Journal),
    /// Open a shell or run a command on a machine.
    Ssh(Ssh),
    /// Join standard input and output to a socket: the far end of --tunnel.
    #[command(hide = true)]
    FdForward {
        /// The socket.
        socket: PathBuf,
    },
    /// DEPRECATED: signatures of units are no more.
    Verify {
        /// Ignored.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Print the version.
    Version,
    /// Say where a unit can run, and why nowhere else. A unit that the cluster does not know is read from a file.
    Explain {
        /// The unit, or a file.
        unit: String,
    },
    /// Give a machine no new units.
    Cordon(MachineChange),
    /// Let a machine have units again.
    Uncordon(MachineChange),
    /// Move the units of a machine elsewhere, and give it no new ones. Global units stay.
    Drain(Drain),
    /// Move a unit to another machine.
    Move(Move),
    /// Show the machines with their units and reservations, the fullest first, until q or Ctrl-C. With --json, or
    /// where there is no terminal: once.
    Top(Top),
    /// Print what changes, as it happens.
    Watch {
        /// Only these units, and no machines.
        unit: Vec<String>,
    },
    /// Make the cluster's units those of a folder.
    Apply(Apply),
    /// Replace the file of many units, a few at a time; goes back by itself if they do not come up.
    Update(Update),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a list is printed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Do not shorten anything.
    #[arg(short = 'l', long)]
    pub(crate) full: bool,
    /// Print no names of columns.
    #[arg(long)]
    pub(crate) no_legend: bool,
    /// The columns, with commas between them.
    #[arg(long)]
    pub(crate) fields: Option<String>,
}

/// Units, and how long to wait for them.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// Units, or their files.
    #[arg(value_name = "UNIT")]
    pub(crate) units: Vec<String>,
    /// Do not wait.
    #[arg(long)]
    pub(crate) no_block: bool,
    /// Wait for so many times two seconds; 0 waits for ever, also for a unit that no machine can take now.
    #[arg(long, value_name = "N")]
    pub(crate) block_attempts: Option<u32>,
    /// Replace what the cluster has if the local file differs.
    #[arg(long)]
    pub(crate) replace: bool,
    /// DEPRECATED: cannot be used.
    #[arg(long, hide = true)]
    pub(crate) sign: bool,
}

/// What `status` takes.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The units.
    #[arg(value_name = "UNIT")]
    pub(crate) units: Vec<String>,
    /// Ask by SSH at this port, instead of the API.
    #[arg(long)]
    pub(crate) ssh_port: Option<u16>,
}

/// What `journal` takes.
#[derive(Debug, Args)]
pub(crate) struct Journal {
    /// The unit.
    pub(crate) unit: String,
    /// So many of the last lines, of each machine.
    #[arg(long, default_value_t = 10)]
    pub(crate) lines: u32,
    /// Go on with what comes.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// A format of journalctl.
    #[arg(long, default_value = "short")]
    pub(crate) output: String,
    /// Only from this machine; any beginning of its id that is unique.
    #[arg(long)]
    pub(crate) machine: Option<String>,
    /// Ask by SSH at this port, instead of the API.
    #[arg(long)]
    pub(crate) ssh_port: Option<u16>,
    /// With SSH: use sudo there.
    #[arg(long)]
    pub(crate) sudo: bool,
}

/// What `ssh` takes.
#[derive(Debug, Args)]
#[allow(clippy::struct_field_names)] // the flag's name is fleetctl's
pub(crate) struct Ssh {
    /// Let the machine use our SSH agent.
    #[arg(short = 'A', long)]
    pub(crate) forward_agent: bool,
    /// The port of its SSH server.
    #[arg(long, default_value_t = 22)]
    pub(crate) ssh_port: u16,
    /// A machine, by a beginning of its id.
    #[arg(short, long)]
    pub(crate) machine: Option<String>,
    /// The machine of this unit.
    #[arg(short, long)]
    pub(crate) unit: Option<String>,
    /// A machine or a unit, unless a flag names it; then a command.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "MACHINE|UNIT [COMMAND]"
    )]
    pub(crate) rest: Vec<String>,
}

/// Machines by id.
#[derive(Debug, Args)]
pub(crate) struct MachineChange {
    /// Any beginning of a machine's id that is unique.
    #[arg(required = true, value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
}

/// What `drain` takes.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Any beginning of a machine's id that is unique.
    #[arg(required = true, value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// Do not wait until the units are gone.
    #[arg(long)]
    pub(crate) no_block: bool,
    /// Give up after so many seconds; units that cannot go anywhere else are told before.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

/// What `move` takes.
#[derive(Debug, Args)]
pub(crate) struct Move {
    /// The unit.
    pub(crate) unit: String,
    /// Where to: any beginning of a machine's id that is unique; any other machine if it is not said.
    #[arg(long, value_name = "MACHINE")]
    pub(crate) to: Option<String>,
    /// Do not wait until it runs there.
    #[arg(long)]
    pub(crate) no_block: bool,
    /// Wait for so many times two seconds; 0 waits for ever.
    #[arg(long, value_name = "N")]
    pub(crate) block_attempts: Option<u32>,
}

/// What `top` takes.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Draw anew after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = pause)]
    pub(crate) interval: Duration,
}

/// What `apply` takes.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A folder with unit files, and drop-ins in folders such as `hello.service.d`.
    #[arg(short = 'f', long = "folder", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Show what would be done, and do nothing. Exits with 3 if there is anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Destroy the cluster's units that the folder does not have.
    #[arg(long)]
    pub(crate) prune: bool,
    /// Submit or load units instead of starting those that are new.
    #[arg(long, value_name = "STATE", default_value = "launched")]
    pub(crate) state: fleet_model::State,
    /// Do not wait.
    #[arg(long)]
    pub(crate) no_block: bool,
    /// Wait for so many times two seconds; 0 waits for ever.
    #[arg(long, value_name = "N")]
    pub(crate) block_attempts: Option<u32>,
}

/// What `update` takes.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The new file. If it is a template, all of its instances are updated that the cluster has. A global unit is
    /// updated machine by machine.
    pub(crate) file: PathBuf,
    /// Units to be updated, instead of those that the file's name says.
    #[arg(value_name = "UNIT")]
    pub(crate) units: Vec<String>,
    /// So many of them run at any time, with those of --max-growth. Of a global unit: on so many machines.
    #[arg(long, value_name = "N")]
    pub(crate) min_alive: Option<usize>,
    /// Start up to so many instances more before the others are updated, so that none is missed meanwhile. They
    /// are named like web@growth-1.service, have the new file, and are destroyed at the end.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_growth: usize,
    /// Seconds in which a unit must come up.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Seconds that a unit must then stay up.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) settle: Duration,
    /// Leave what failed as it is, for a look.
    #[arg(long)]
    pub(crate) no_revert: bool,
}

/// What an empty value stands for; fleetctl took an empty variable of the environment for none.
trait Fallback {
    const TEXT: &'static str;
}

struct Endpoint;
struct UserName;
struct KnownHosts;

impl Fallback for Endpoint {
    const TEXT: &'static str = ENDPOINT;
}

impl Fallback for UserName {
    const TEXT: &'static str = "core";
}

impl Fallback for KnownHosts {
    const TEXT: &'static str = KNOWN_HOSTS;
}

// Clap asks for this signature.
#[allow(clippy::unnecessary_wraps)]
fn text_or<T: Fallback>(text: &str) -> Result<String, String> {
    Ok(if text.is_empty() { T::TEXT } else { text }.to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let error = || format!("`{text}` is no number of seconds; write it like 10 or 0.5");
    let seconds: f64 = text.parse().map_err(|_| error())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| error())
}

/// A time that is not nothing.
fn pause(text: &str) -> Result<Duration, String> {
    let pause = seconds(text)?;
    if pause.is_zero() {
        return Err("it must be more than 0".to_owned());
    }
    Ok(pause)
}

/// As Go's flags are read.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it must be true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["fleetctl"].iter().chain(words))
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_is_in_the_help() {
        for command in Arguments::command().get_subcommands() {
            let line = format!("\n  {} ", command.get_name());
            let is_shown = HELP.contains(&line);
            assert_eq!(is_shown, !command.is_hide_set(), "{}", command.get_name());
        }
    }

    #[test]
    fn commands_may_be_shortened() {
        let arguments = parse(&["list-m"]).expect("unique");
        assert!(matches!(arguments.command, Command::ListMachines(_)));
        assert!(parse(&["list"]).is_err());
    }

    #[test]
    fn flags_stand_before_and_after_the_command() {
        for words in [
            ["--endpoint", "http://a:1", "list-units"],
            ["list-units", "--endpoint", "http://a:1"],
        ] {
            let arguments = parse(&words).expect("good");
            assert_eq!(arguments.global.endpoint, "http://a:1");
        }
    }

    #[test]
    fn gos_forms_of_switches_are_read() {
        for (word, expected) in [
            ("--strict-host-key-checking=false", false),
            ("--strict-host-key-checking=T", true),
            ("--strict-host-key-checking", true),
        ] {
            let arguments = parse(&[word, "version"]).expect(word);
            assert_eq!(arguments.global.strict_host_key_checking, expected);
        }
    }

    #[test]
    fn a_remote_commands_flags_are_its_own() {
        let arguments = parse(&["ssh", "-A", "m1", "ls", "-l", "--full"]).expect("good");
        let Command::Ssh(ssh) = arguments.command else {
            panic!("not ssh");
        };
        assert!(ssh.forward_agent);
        assert_eq!(ssh.rest, ["m1", "ls", "-l", "--full"]);
    }

    #[test]
    fn old_flags_are_taken_and_ignored() {
        let words = [
            "--experimental-api=true",
            "--etcd-cafile=x",
            "--etcd-key-prefix=/a",
            "list-units",
        ];
        assert!(parse(&words).is_ok());
    }
}

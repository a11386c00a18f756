//! The command line of `provision`, as clap derives it. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::firmware::Firmware;

/// Applies this machine's first-boot configuration.
///
/// Exit codes: 0 it is applied, or there was none; 1 a step failed; 2 wrong usage; 3 the configuration is wrong or
/// does not suit the machine, and nothing was done; 4 it needs the network, and nothing was done; 5 (`network`) the boot
/// stops because first-boot has refused it.
#[derive(Debug, Parser)]
#[command(name = "provision", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Apply a configuration: Ignition, cloud-config or Keelson's TOML
    Apply(ApplyArguments),
    /// Look for this machine's configuration and apply it, unless that was done before; for /init
    FirstBoot(FirstBootArguments),
    /// Say in /run which disk the configuration wants state on, before there is state; for /init
    StateDisk(FirstBootArguments),
    /// Do what first-boot has left to the network, and let the boot go on; for keelson-first-boot.service
    Network(NetworkArguments),
    /// Tell Azure that this machine is ready; for keelson-ready.service
    Ready(ReadyArguments),
    /// Say what became of the configuration
    Status(StatusArguments),
}

/// Of `provision apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// The configuration; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Folder that is the machine's root; a system that runs from it is not told of what changes
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Check everything and say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Fetch nothing: a configuration that needs the network is put off
    #[arg(long)]
    pub(crate) no_network: bool,
    /// Print what became of it as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Of `provision first-boot` and `state-disk`.
#[derive(Debug, Args)]
pub(crate) struct FirstBootArguments {
    /// Folder that is the machine's root
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// What the kernel says.
    #[command(flatten)]
    pub(crate) firmware: Firmware,
    /// Device node of the EFI system partition, which is looked at unless mounted
    #[arg(long, value_name = "DEVICE")]
    pub(crate) esp: Option<PathBuf>,
}

/// Of `provision network`.
#[derive(Debug, Args)]
pub(crate) struct NetworkArguments {
    /// Folder that is the machine's root
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// What the kernel says.
    #[command(flatten)]
    pub(crate) firmware: Firmware,
    /// Where the EFI system partition is mounted
    #[arg(long, value_name = "DIR", default_value = "/efi")]
    pub(crate) efi: PathBuf,
}

/// Of `provision ready`.
#[derive(Debug, Args)]
pub(crate) struct ReadyArguments {
    /// Where Azure's fabric listens
    #[arg(long, value_name = "URL", default_value = provision::metadata::azure_readiness::ADDRESS)]
    pub(crate) azure: String,
}

/// Of `provision status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Folder that is the machine's root
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Print it as JSON on standard output: null if no configuration was ever looked for
    #[arg(long)]
    pub(crate) json: bool,
}

//! The command line.
//!
//! Says what there is; the commands have files of their own, and the options of `run` are in
//! `run_arguments`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use container_model::ImageReference;
use container_model::name::Name;

use crate::network_command::NetworkCommand;
use crate::pod_command::PodCommand;
use crate::pull::{PullSettings, PullWhen};
use crate::run_arguments::RunArguments;
use crate::running::command_line::RunningCommand;
use crate::volume_command::VolumeCommand;

/// Runs containers as systemd units.
#[derive(Debug, Parser)]
#[command(name = "launch", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a container until it ends, as the main process of a unit or in a terminal
    Run(Box<RunArguments>),
    /// Fetch images from their registries
    Pull(PullArguments),
    /// Load the images of an archive: `docker save`, or an OCI image layout as a tar file
    Load(LoadArguments),
    /// List images
    Images(ImagesArguments),
    /// Take names of images away; what has no name left leaves the disk
    Rmi(RemoveArguments),
    /// Remove images that nothing uses or names, and what containers left that were killed
    Prune(PruneArguments),
    /// Write images into an archive that `launch load` and `docker load` read
    Save(SaveArguments),
    /// Make, list and remove networks
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Make and remove pods; units of `.pod` files call this
    #[command(subcommand, hide = true)]
    Pod(PodCommand),
    /// Make, list and remove volumes
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Judge Quadlet files: all that is wrong, with file, line and key
    Check(CheckArguments),
    #[command(flatten)]
    Running(RunningCommand),
    /// Print completions for a shell
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
    /// Remove what a container left, if it runs no more; its monitor calls this
    #[command(hide = true)]
    Clean(CleanArguments),
    /// Write down how a run of a container with a record ended; systemd calls this
    #[command(hide = true)]
    Ended(EndedArguments),
}

#[derive(Debug, Args)]
pub(crate) struct EndedArguments {
    /// The record's folder
    #[arg(long)]
    pub(crate) record: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Files that end with .container, .pod, .network, .volume or .image; drop-ins beside them are read too. Without any, all
    /// that systemd's generator reads
    pub(crate) files: Vec<PathBuf>,
    /// Print the units that are made of them
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// By tag or digest
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<ImageReference>,
    /// When they are pulled
    #[arg(long, value_enum, default_value = "always")]
    pub(crate) policy: PullWhen,
    #[command(flatten)]
    pub(crate) settings: PullSettings,
}

#[derive(Debug, Args)]
pub(crate) struct ImagesArguments {
    /// Print the digests alone
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Print a JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// By the name that `launch images` prints
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<ImageReference>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Only what /etc/keelson/housekeeping.toml says: nothing while the disk has room; a timer calls this
    #[arg(long)]
    pub(crate) policy: bool,
    /// Keep images that were used, or came, in this time, such as 24h
    #[arg(long, value_name = "TIME", value_parser = crate::pull::delay, conflicts_with = "policy")]
    pub(crate) keep_used_within: Option<std::time::Duration>,
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// For programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SaveArguments {
    /// By tag or digest
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<ImageReference>,
    /// The archive
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// The archive, not compressed
    pub(crate) file: PathBuf,
    /// Name the image, instead of the names that the archive has
    #[arg(long, value_name = "IMAGE")]
    pub(crate) name: Option<ImageReference>,
}

#[derive(Debug, Args)]
pub(crate) struct CleanArguments {
    /// The container's
    pub(crate) name: Name,
    /// The caller is the container's monitor, and holds its lock
    #[arg(long)]
    pub(crate) by_monitor: bool,
}

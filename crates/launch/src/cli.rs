//! The command line.
//!
//! Says what there is; the commands have files of their own.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Runs containers as systemd units.
#[derive(Debug, Parser)]
#[command(name = "launch", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge Quadlet files: all that is wrong, with file, line and key
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Files that end with .container; drop-ins beside them are read too
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Print the units that are made of them
    #[arg(long)]
    pub(crate) print: bool,
}

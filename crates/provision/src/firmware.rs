//! What the kernel says of this boot and this machine, for both stages of the first boot.
//!
//! Asks nobody.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use machine_facts::provision_record::Record;
use provision::command_line::asks_for_shell;
use provision::network_source::Choice;

use crate::record::refused;

/// Where it stands.
#[derive(Debug, Args)]
pub(crate) struct Firmware {
    /// Where the kernel shows firmware and devices
    #[arg(long, value_name = "DIR", default_value = "/sys")]
    pub(crate) sys: PathBuf,
    /// Folder for what is for this boot alone
    #[arg(long, value_name = "DIR", default_value = "/run")]
    pub(crate) run: PathBuf,
    /// File with the kernel command line
    #[arg(long, value_name = "FILE", default_value = "/proc/cmdline")]
    pub(crate) command_line: PathBuf,
}

impl Firmware {
    /// What there is to ask on the network, or the record of a command line that cannot be obeyed.
    pub(crate) fn choice(&self) -> anyhow::Result<Result<Choice, Record>> {
        let choice = Choice::make(&self.text()?, &self.sys);
        let source = Some("the kernel command line".to_owned());
        Ok(choice.map_err(|error| refused(source, error.to_string())))
    }

    /// Whether the kernel command line asks for a way in where the boot stops.
    pub(crate) fn asks_for_shell(&self) -> anyhow::Result<bool> {
        Ok(asks_for_shell(&self.text()?))
    }

    fn text(&self) -> anyhow::Result<String> {
        let file = &self.command_line;
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    }
}
